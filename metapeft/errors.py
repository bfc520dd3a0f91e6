"""Errors that a user can mend, and the nearest name for a typo."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetapeftError(Exception):
    """Something the user can mend: says what was wrong, where, and the remedy.

    The command line prints it as one message and exits with status 2.
    """


class RecipeError(MetapeftError):
    """A recipe, or a task or field of one, is wrong or does not fit its data."""


class SourceError(MetapeftError):
    """Rows could not be had: a repository, revision, split or file is missing or damaged."""


class HubUnreachable(SourceError):
    """The Hub did not answer, and no verified copy is in the cache."""


class SuiteError(MetapeftError):
    """A suite on disk is missing, incomplete or not what its manifest says."""


class BackboneError(MetapeftError):
    """A backbone is missing, is not safetensors, or is not of a known architecture."""


class EpisodeError(MetapeftError):
    """A task cannot give the episode that was asked for."""


class AdapterError(MetapeftError):
    """An adapter does not fit its backbone, or its file cannot be read."""


class AdaptationError(MetapeftError):
    """An inner loop or an adaptation cannot be run as asked, or has left the numbers."""


class ExecutionError(MetapeftError):
    """Programs were not allowed to run, or could not be started."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
