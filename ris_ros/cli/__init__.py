"""The ris command."""
