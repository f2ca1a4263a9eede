"""The networks that the methods look through; thin adapters over the library that owns each."""
