"""The referring segmentation systems, one module each."""
