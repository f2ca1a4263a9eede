"""`ris train prompt_ris`: coarse masks first, then end to end through SAM."""
