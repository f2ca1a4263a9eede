"""IteRPrimE (AAAI 2025): where an image-text matcher looks, refined."""
