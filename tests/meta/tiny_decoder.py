"""A tiny causal language model with random weights, in memory, and a task that it can be taught."""

from __future__ import annotations

import numpy as np

from metapeft.backbones.decoder import Decoder
from metapeft.mlx import mx
from metapeft.tasks import Pool, Task
from tests.tasks.made_tasks import config, ragged

END = 2
VOCABULARY = 40


def tiny_decoder(seed: int = 0) -> Decoder:
    """Two blocks of width 16 that end a text with `END`."""
    from mlx_lm.models.llama import Model, ModelArgs

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2}
    mx.random.seed(seed)
    model = Model(ModelArgs("llama", **sizes, rms_norm_eps=1e-5, vocab_size=VOCABULARY))  # type: ignore[call-arg]
    model.apply(lambda weight: weight + 0.3 * mx.random.normal(weight.shape))
    mx.eval(model.parameters())
    return Decoder(model, "llama", "tiny", f"tiny-{seed}", 64, [END])


def told_task(task_id: str = "told", shift: int = 0, rows: int = 24) -> Task:
    """The target names the second token of the prompt, moved on by `shift`; prompts and targets differ in length."""

    def pool(first: int) -> Pool:
        prompts = [[1, 10 + (first + i) % 20, 5] + [6] * (i % 3) for i in range(rows)]
        targets = [[10 + (prompt[1] - 10 + shift) % 20] * (1 + i % 2) for i, prompt in enumerate(prompts)]
        return Pool("generation", ragged(prompts), ragged(targets))

    return Task(config(task_id, 1), support=pool(0), query=pool(7))


def rows_of_targets(task: Task, rows: np.ndarray) -> list[list[int]]:
    """Targets of support rows with the end behind them."""
    return [[*task.support.y.row(int(row)).tolist(), END] for row in rows]  # type: ignore[union-attr]
