"""Trainers of the networks that ship with the package."""
