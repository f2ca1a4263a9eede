"""From what a person says to what the methods need."""
