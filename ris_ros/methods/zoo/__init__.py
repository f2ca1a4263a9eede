"""Modern models behind the same contract, and what re-ranks any method's answers.

Here belongs a method that is no reimplementation of one of the five papers and no baseline of
theirs: a promptable segmenter asked by text, a grounding detector or a vision-language model
whose boxes become masks, `spatial_rerank` over another method's candidates.  One folder or module
each, with its settings beside it; registered in `ris_ros.methods.registry`.
"""
