"""HybridGL (CVPR 2025): hybrid global-local features and spatial guidance."""
