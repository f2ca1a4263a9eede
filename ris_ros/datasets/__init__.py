"""Readers of referring segmentation datasets."""
