"""The small parser and how it is trained."""
