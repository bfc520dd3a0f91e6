"""Tasks whose answers are texts: rows of a suite, outputs of a model or of a baseline, and the figures of each output.

Figures are of `evaluation.text` and of `execution`; what of them a task can have follows from its style, its domain and
the columns that its recipe kept, never from its name.
"""
