"""Running programs that a model wrote, in processes that can do no harm: see docs/execution.md."""
