"""The small networks of the tabletop profile and how they are trained."""
