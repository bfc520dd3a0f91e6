"""Published class splits as a recipe: training, validation and test classes of each fold, a task each.

    python scripts/class_folds.py name=banking77 texts=DIR/full.jsonl folds=DIR/few_shot out=runs/folds
    python -m metapeft.build recipe=runs/folds/recipe.yaml files.banking77=runs/folds/data leaks=keep

`folds` is a folder of `01`, `02`, … with `labels.train.txt`, `labels.valid.txt` and `labels.test.txt`, a label a
line, as ProtAugment (Dopierre et al. 2021) has them; or a JSON file `{dataset: {fold: {train: [id, …], …}}}`, whose
dataset `dataset=` names. `texts` is JSON lines with a text (`sentence` or `raw`) and a `label`.

The rows of a class are dealt to the support and the query pool by a hash of their text. Papers draw both from one pool;
`leaks=keep` keeps their near-duplicates, as papers do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.errors import MetapeftError
from metapeft.sources.examples import text_hash

DESCRIPTION = "Write published class splits as a recipe and its data files."
EXAMPLES = ["python scripts/class_folds.py name=banking77 texts=DIR/full.jsonl folds=DIR/few_shot out=runs/folds"]
PARTS = ("train", "valid", "test")
TEXTS = ("sentence", "raw", "text")


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="of the recipe; tasks are NAME_1_train and so on")
    texts: str = Field(description="JSON lines with the texts and labels")
    folds: str = Field(description="folder of folds, or a JSON file of them")
    dataset: str | None = Field(default=None, description="which dataset of the JSON file")
    names: str | None = Field(default=None, description="JSON file {dataset: {label: name}}, where labels are ids")
    family: str = Field(default="intent", description="of the tasks, one of recipes/families.yaml")
    max_tokens: int = Field(default=48, ge=4, description="longer texts are cut here")
    out: str = Field(description="folder to write to")


def read_texts(path: Path) -> dict[str, list[str]]:
    """Texts by label.

    Raises:
        MetapeftError: a line is not JSON, or has no text or no label.
    """
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            text = next(row[key] for key in TEXTS if key in row)
            rows.setdefault(str(row["label"]), []).append(text)
        except (ValueError, KeyError, TypeError, StopIteration):
            raise MetapeftError(
                f"{path}, line {number}: needs JSON with one of {', '.join(TEXTS)} and a label"
            ) from None
    return rows


def read_folds(path: Path, dataset: str | None) -> list[dict[str, list[str]]]:
    """Labels of each part of each fold.

    Raises:
        MetapeftError: there are none, or a label is in two parts of a fold.
    """
    if path.is_dir():
        folds = [
            {part: (fold / f"labels.{part}.txt").read_text(encoding="utf-8").split("\n") for part in PARTS}
            for fold in sorted(path.iterdir())
            if (fold / "labels.test.txt").exists()
        ]
        folds = [{part: [name.strip() for name in fold[part] if name.strip()] for part in PARTS} for fold in folds]
    else:
        found = json.loads(path.read_text(encoding="utf-8"))
        if dataset not in found:
            raise MetapeftError(f"{path}: no dataset '{dataset}'. It has: {', '.join(found)}")
        folds = [{part: [str(n) for n in fold[part]] for part in PARTS} for _, fold in sorted(found[dataset].items())]
    if not folds:
        raise MetapeftError(f"{path}: no fold here (01/labels.test.txt and so on)")
    for number, fold in enumerate(folds, 1):
        names = [name for part in PARTS for name in fold[part]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise MetapeftError(f"{path}, fold {number}: '{twice[0]}' stands in two parts")
    return folds


def read_names(path: Path, dataset: str | None) -> dict[str, str]:
    """Names of the labels of a dataset.

    Raises:
        MetapeftError: the file does not have the dataset.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if dataset not in found:
        raise MetapeftError(f"{path}: no dataset '{dataset}'. It has: {', '.join(found)}")
    return {str(label): name for label, name in found[dataset].items()}


def recipe_of(config: Config, folds: list[dict[str, list[str]]], names: dict[str, str]) -> dict[str, object]:
    """The recipe, as YAML writes it."""
    tasks = []
    ways = min(5, *(len(fold[part]) for fold in folds for part in PARTS))
    for number, fold in enumerate(folds, 1):
        for part in PARTS:
            stem = f"{number}_{part}"
            tasks.append(
                {
                    "id": f"{config.name}_{stem}",
                    "kind": "classification",
                    "domain": config.name,
                    "source": {
                        "kind": "files",
                        "name": config.name,
                        "about": "what scripts/class_folds.py wrote",
                        "splits": {side: [f"{stem}_{side}.jsonl"] for side in ("support", "query")},
                    },
                    "fields": {"text": "text", "label": "label"},
                    "labels": [names.get(label, label) for label in fold[part]],
                    "limit": {"support": 100_000, "query": 100_000},
                }
            )
    return {
        "schema": 1,
        "name": config.name,
        "version": "1-A",
        "description": f"Class splits of {config.name}: training, validation and test classes of {len(folds)} folds.",
        "family": config.family,
        "episodes": {"ways": ways, "shots": [1, 5], "query": 5 * ways, "max_tokens": config.max_tokens},
        "tasks": tasks,
    }


def run(config: Config) -> int:
    """Run the script."""
    texts = read_texts(Path(config.texts))
    folds = read_folds(Path(config.folds), config.dataset)
    names = read_names(Path(config.names), config.dataset) if config.names else {}
    out = Path(config.out)
    for number, fold in enumerate(folds, 1):
        for part in PARTS:
            missing = [name for name in fold[part] if name not in texts]
            if missing:
                raise MetapeftError(f"{config.texts}: no text of label '{missing[0]}' of fold {number}")
            sides: dict[str, list[str]] = {"support": [], "query": []}
            for name in fold[part]:
                ordered = sorted(texts[name], key=lambda text: text_hash(text, "class folds"))
                for place, text in enumerate(ordered):
                    line = json.dumps({"text": text, "label": names.get(name, name)}, ensure_ascii=False)
                    sides[("support", "query")[place % 2]].append(line)
            for side, lines in sides.items():
                atomic.write_text(out / "data" / f"{number}_{part}_{side}.jsonl", "\n".join(lines) + "\n")
    atomic.write_text(out / "recipe.yaml", yaml.safe_dump(recipe_of(config, folds, names), sort_keys=False, width=100))
    counts = ", ".join("/".join(str(len(fold[part])) for part in PARTS) for fold in folds)
    print(f"{out / 'recipe.yaml'}: {len(folds)} folds of training/validation/test classes {counts}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="class_folds", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
