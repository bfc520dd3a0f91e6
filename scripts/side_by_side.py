"""Human evaluation of what an evaluation wrote: a blind page to rate on, and what the ratings say.

    python scripts/side_by_side.py result=runs/evaluate/NAME task=syn_sql_clinic 'methods=[auto,frozen]' out=runs/rate
    python scripts/side_by_side.py key=runs/rate/key.json 'ratings=[ratings-ann.json,ratings-bo.json]'

The first writes `OUT/page.html`, for raters, and `OUT/key.json`, which says who wrote what: keep it from them. The page
shows the texts that `result.json` holds of the first episodes (`metapeft.evaluate`), two methods at a time in an order
that nobody can guess; a rater saves a file. The second prints who was preferred, and how sure that is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli
from metapeft.errors import MetapeftError, did_you_mean
from metapeft.evaluation.generation.pages import write_side_by_side
from metapeft.evaluation.generation.rows import Reference
from metapeft.evaluation.text.ratings import summarize

DESCRIPTION = "A blind page of what two methods or more wrote, and what its ratings say."
EXAMPLES = ["python scripts/side_by_side.py result=runs/evaluate/NAME task=TASK methods=[auto,frozen] out=runs/rate"]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    result: str | None = Field(default=None, description="folder that evaluate wrote, of tasks that write")
    task: str | None = Field(default=None, description="its task; may be left out where there is one")
    shots: int | None = Field(default=None, ge=1, description="its number of shots; may be left out where there is one")
    methods: list[str] = Field(default=["auto", "frozen"], min_length=2, description="whose texts are compared")
    out: str = Field(default="runs/rate", description="folder of the page and the key")
    seed: int = Field(default=0, ge=0, description="of the order")
    key: str | None = Field(default=None, description="key.json of a page")
    ratings: list[str] = Field(default=[], description="files that raters saved")


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: neither a result nor a key with ratings, no such cell or method, or ratings of another page.
    """
    if config.key and config.ratings:
        files = [_read(Path(path)) for path in config.ratings]
        for line in summarize(files, _read(Path(config.key)), config.seed):
            print(told(line))
        return 0
    if not config.result:
        raise MetapeftError("give result=DIR to make a page, or key=FILE and ratings=[FILE, ...] to summarize")
    cell = cell_of(_read(Path(config.result) / "result.json"), config)
    written = cell["outputs"]["written"]
    for name in config.methods:
        if name not in written:
            raise MetapeftError(f"no method '{name}'.{did_you_mean(name, written)} Known: {', '.join(written)}")
    pairs = zip(cell["outputs"]["prompts"], cell["outputs"]["targets"], strict=True)
    rows = [Reference("", prompt, prompt, target, {}) for prompt, target in pairs]
    outputs = {name: written[name][: len(rows)] for name in config.methods}
    page, key = Path(config.out) / "page.html", Path(config.out) / "key.json"
    write_side_by_side(
        page, key, rows, outputs, style=cell["style"], title=f"Which is better? {cell['task']}", seed=config.seed
    )
    print(f"page        {page} ({len(rows)} rows, {len(outputs)} methods)\nkey         {key} (not for raters)")
    return 0


def cell_of(result: dict[str, Any], config: Config) -> dict[str, Any]:
    """The one cell that was asked for.

    Raises:
        MetapeftError: there is none, or more than one.
    """
    found = [
        cell
        for cell in result["cells"]
        if "outputs" in cell and config.task in (None, cell["task"]) and config.shots in (None, cell["shots"])
    ]
    if len(found) != 1:
        known = ", ".join(f"{cell['task']} at {cell['shots']}" for cell in result["cells"] if "outputs" in cell)
        raise MetapeftError(f"say which task= and shots=, one of: {known or 'none, nothing was written there'}")
    return found[0]


def told(line: dict[str, Any]) -> str:
    """A line of `summarize` as people read it."""
    counts = f"{line['wins']} won, {line['ties']} tied, {line['losses']} lost, {line['unrated']} not rated"
    if line["preference"] is None:
        return f"{line['first']} against {line['second']}: {counts}"
    low, high = line["ci95"]
    return (
        f"{line['first']} against {line['second']}: {counts}; preference {line['preference']:+.2f} "
        f"[{low:+.2f}, {high:+.2f}], p = {line['p']:.4f}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetapeftError(f"{path}: cannot be read ({error})") from None


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="side_by_side", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
