"""The demonstration: a simulated camera, a commander that judges, all as nodes of their own."""
