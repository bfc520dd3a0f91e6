"""Make the checkpoint that ships in the package of one that `metapeft train` wrote, with a card.

    python scripts/ship_checkpoint.py checkpoint=runs/train/ship/last result=runs/evaluate/ship/result.json

It leaves out what only training needs (`moments.safetensors`), and writes a card: how the checkpoint was trained, and
its figures on tasks it never saw, from the result of `metapeft evaluate`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapting.starts import SHIPPED
from metapeft.errors import MetapeftError
from metapeft.evaluation.report import accuracy_lines, chosen_lines
from metapeft.meta.checkpoint import read_facts

DESCRIPTION = "Make the checkpoint that ships in the package."
EXAMPLES = ["python scripts/ship_checkpoint.py checkpoint=runs/train/ship/last result=runs/evaluate/ship/result.json"]
FILES = ("meta.safetensors", "checkpoint.json", "prior.json")


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checkpoint: str = Field(description="folder of a checkpoint with its prior")
    result: str = Field(description="result.json of `metapeft evaluate` of it")
    out: str = Field(default=str(SHIPPED), description="folder to write")


def card(facts: dict[str, Any], result: dict[str, Any]) -> str:
    """The model card.

    Args:
        facts: of the checkpoint.
        result: of `metapeft evaluate`.

    Raises:
        MetapeftError: the result is of another checkpoint.
    """
    if result["training"] != facts["training"] or result["settings"]["step"] != facts["step"]:
        raise MetapeftError("the result is of another checkpoint: evaluate this one")
    settings = facts["settings"]
    told = ("steps", "batch", "ways", "shots", "query", "rows", "max_tokens", "learning_rate", "names", "mix", "seed")
    lines = [
        f"# A {facts['method']} for the backbone {result['backbone']}",
        "",
        f"Where adapters start, and from what: meta-trained by `metapeft train` on {len(facts['training'])} tasks of "
        f"the families {', '.join(facts['training_families'])}. `metapeft adapt` uses it unless told otherwise.",
        "",
        "## How it was made",
        "",
        f"- training tasks: {', '.join(facts['training'])}",
        f"- validation tasks (of the prior in `prior.json`): {', '.join(facts['validation'])}",
        f"- LoRA: {json.dumps(facts['lora'])}",
        f"- settings: {', '.join(f'{name}={json.dumps(settings[name])}' for name in told)}",
        "",
        "## On tasks it never saw",
        "",
        f"{result['settings']['episodes']} episodes a cell, accuracy in %, ± half the width of a 95 % interval. What "
        "the columns are: `metapeft.evaluation.bench`.",
        "",
        *accuracy_lines(result["cells"], result["rows"], result["mix"]),
        "",
        *chosen_lines(result["cells"]),
        "",
        "## Limits",
        "",
        "Tasks unlike those above gain little or nothing; `auto` then stays with the frozen prototype, and is wrong "
        "at times. Texts are English.",
    ]
    return "\n".join(lines) + "\n"


def run(config: Config) -> int:
    """Run the script."""
    source, facts = Path(config.checkpoint), read_facts(config.checkpoint)
    missing = [name for name in FILES if not (source / name).exists()]
    if missing:
        raise MetapeftError(f"{source}: no {missing[0]} here; train with prior_episodes above 0")
    text = card(facts, json.loads(Path(config.result).read_text(encoding="utf-8")))
    with atomic.whole_folder(Path(config.out)) as staging:
        for name in FILES:
            shutil.copyfile(source / name, staging / name)
        atomic.write_text(staging / "README.md", text)
    size = sum(path.stat().st_size for path in Path(config.out).iterdir())
    print(f"{config.out}: {size / 1e6:.1f} MB")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="ship_checkpoint", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
