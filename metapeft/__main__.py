"""`metapeft VERB key=value ...`, the same as `python -m metapeft VERB key=value ...`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from metapeft.cli import EXIT_USER_ERROR, HELP, guard
from metapeft.errors import MetapeftError, did_you_mean

# Each verb is a module `metapeft.<verb>` with `main(argv) -> int`; it is imported when it is called for.
VERBS = {
    "build": "turn a recipe into a task suite on disk",
    "train": "meta-train where adapters start",
    "evaluate": "test a checkpoint on tasks it never saw, and write a report",
    "adapt": "make a classifier from your own labelled examples",
    "predict": "label new texts with it",
    "inspect": "show what a suite holds, and check episodes of every kind",
    "doctor": "say what this machine has, and what is missing",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guard(lambda: _dispatch(arguments))


def _dispatch(arguments: Sequence[str]) -> int:
    verb, *rest = arguments or [""]
    if verb in VERBS:
        return importlib.import_module(f"metapeft.{verb}").main(rest)
    if verb in HELP:
        print(_help())
        return 0
    if verb == "--version":
        print(f"metapeft {_version()}")
        return 0
    if not verb:
        print(_help(), file=sys.stderr)
        return EXIT_USER_ERROR
    raise MetapeftError(f"unknown verb '{verb}'.{did_you_mean(verb, VERBS)}\n  verbs: {', '.join(VERBS)}")


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {about}" for name, about in VERBS.items())
    return (
        "usage: metapeft VERB key=value ...\n\n"
        f"verbs:\n{verbs}\n\n"
        "metapeft VERB --help lists the keys of a verb; metapeft --version says which metapeft this is."
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("metapeft")
    except PackageNotFoundError:
        return "(not installed: run from a checkout)"


if __name__ == "__main__":
    sys.exit(main())
