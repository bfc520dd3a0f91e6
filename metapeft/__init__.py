"""Few-shot text tasks from public datasets, and LoRA adapters for them in MLX.

The parts: `metapeft.recipes` (what to build), `metapeft.sources` (where rows come from), `metapeft.building` (rows to
suites), `metapeft.tasks` (tasks and suites), `metapeft.episodes` (episodes from them). The verbs are modules too:
`python -m metapeft.build`, `python -m metapeft.inspect`.
"""
