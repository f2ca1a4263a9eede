"""TAS (Findings of EMNLP 2023): text-augmented scores and a spatial rectifier."""
