"""PCNet's training: pictures with sentences, nothing else."""
