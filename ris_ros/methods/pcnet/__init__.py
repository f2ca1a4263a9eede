"""PCNet (NeurIPS 2024): learned from image-text pairs alone."""
