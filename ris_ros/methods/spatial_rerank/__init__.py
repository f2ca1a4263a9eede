"""Spatial guidance over any method: it finds what things are called, this says which is meant."""
