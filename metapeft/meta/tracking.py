"""Where the numbers of a run go: `metrics.jsonl` always, a tracker when asked for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from metapeft import atomic
from metapeft.errors import MetapeftError

Tracker = Literal["none", "trackio", "tensorboard", "wandb"]
_MODULES = {"trackio": "trackio", "tensorboard": "tensorboardX", "wandb": "wandb"}
Log = Callable[[int, dict[str, float]], None]


class Metrics:
    """Lines of `metrics.jsonl`, one a step, and the same to a tracker.

    A run that goes on from a step forgets the lines after it: they were of steps that are taken again.

    Args:
        path: the file.
        step: steps taken so far.
        log: see `tracker`.
    """

    def __init__(self, path: Path, step: int, log: Log):
        self._path, self._log = path, log
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
        atomic.write_text(path, "".join(f"{line}\n" for line in kept))

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._log(step, numbers)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, oldest first; half a line, which a killed run may leave, is left out."""
    return [json.loads(line) for line in _whole_lines(path)]


def tracker(name: Tracker, project: str, config: dict[str, Any], folder: Path) -> Log:
    """A function ``(step, numbers)`` that sends numbers to a tracker.

    Raises:
        MetapeftError: its package is not installed.
    """
    if name == "none":
        return lambda step, numbers: None
    module = _MODULES[name]
    if importlib.util.find_spec(module) is None:
        raise MetapeftError(f"report_to={name}: the package '{module}' is not installed\n  pip install {module}")
    if name == "tensorboard":
        from tensorboardX import SummaryWriter  # type: ignore[import-not-found]

        writer = SummaryWriter(str(folder / "tensorboard"))

        def log(step: int, numbers: dict[str, float]) -> None:
            for key, value in numbers.items():
                writer.add_scalar(key, value, step)
            writer.flush()

        return log
    sink: Any = importlib.import_module(module)  # trackio has wandb's interface
    own = {"dir": str(folder)} if name == "wandb" else {}  # else it writes where the user happens to be
    sink.init(project=project, config=config, **own)
    return lambda step, numbers: sink.log(numbers, step=step)


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()
