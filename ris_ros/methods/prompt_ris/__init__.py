"""Prompt-RIS: CLIP and SAM joined end to end by prompts (CVPR 2024)."""
