"""Synthetic text: small generators of our own, so that every text family works without a network.

`generate` is a pure function of its arguments and gives the same rows on every machine. Difficulty is real: at 1
a bag of words learned from ten examples a class fails often (see `scripts/check_synthetic_text.py`), while a careful
reader still gets every label that is not label noise.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from metapeft.errors import RecipeError, did_you_mean
from metapeft.sources.grammar.code import CODE_JAVASCRIPT, CODE_PYTHON
from metapeft.sources.grammar.emotion import EMOTION
from metapeft.sources.grammar.engine import Generator, Params, distinct_rows
from metapeft.sources.grammar.intent import INTENT
from metapeft.sources.grammar.judgement import JUDGEMENT
from metapeft.sources.grammar.sentiment import SENTIMENT
from metapeft.sources.grammar.sql import SQL
from metapeft.sources.grammar.summarization import SUMMARIZATION
from metapeft.sources.grammar.tagging import TAGGING
from metapeft.sources.grammar.topic import TOPIC

__all__ = ["GENERATORS", "Generator", "generate", "labels", "validate"]

GENERATORS: dict[str, Generator] = {
    "sentiment": SENTIMENT,
    "topic": TOPIC,
    "intent": INTENT,
    "emotion": EMOTION,
    "judgement": JUDGEMENT,
    "tagging": TAGGING,
    "summarization": SUMMARIZATION,
    "sql": SQL,
    "code_python": CODE_PYTHON,
    "code_javascript": CODE_JAVASCRIPT,
}


def generate(
    generator: str, params: dict[str, Any], rows: int, seed: int, pool: Literal["support", "query"]
) -> list[dict[str, Any]]:
    """Make rows with different texts; the pools of a generator never share a text.

    Args:
        generator: a name of `GENERATORS`.
        params: its parameters, as in a recipe.
        rows: how many.
        seed: of the task; another seed gives other rows.
        pool: `support` or `query`: they use different random streams and different texts.

    Returns:
        Classification: `text`, `label`, classes balanced. Tagging: `tokens`, `tags` (BIO). Generation: `text`,
        `target` and what metrics need (`schema`, `database`, `tests`).

    Raises:
        RecipeError: unknown generator, bad parameters, or more rows than there are different texts.
    """
    known, checked = _checked(generator, params)
    if pool not in ("support", "query"):
        raise RecipeError(f"pool is 'support' or 'query', not {pool!r}")
    return distinct_rows(generator, known, checked, rows, seed, pool)


def validate(generator: str, params: dict[str, Any]) -> None:
    """Check a generator's name and parameters.

    Raises:
        RecipeError: with every mistake, and the nearest name for a typo.
    """
    _checked(generator, params)


def labels(generator: str, params: dict[str, Any]) -> list[str]:
    """Label names in order; entity types for tagging; nothing for generation."""
    known, checked = _checked(generator, params)
    return known.labels(checked)


def _checked(generator: str, params: dict[str, Any]) -> tuple[Generator, Params]:
    known = GENERATORS.get(generator)
    if known is None:
        raise RecipeError(
            f"unknown generator {generator!r}.{did_you_mean(generator, GENERATORS)} Known: {', '.join(GENERATORS)}"
        )
    try:
        return known, known.params.model_validate(params)
    except ValidationError as error:
        fields = known.params.model_fields
        mistakes = []
        for detail in error.errors():
            name = ".".join(str(part) for part in detail["loc"])
            if detail["type"] == "extra_forbidden":
                mistakes.append(f"unknown parameter {name!r}.{did_you_mean(name, fields)} Known: {', '.join(fields)}")
            else:
                message = detail["msg"].removeprefix("Value error, ")
                mistakes.append(f"{name}: {message}" if name else message)
        raise RecipeError(f"generator {generator!r}: {'; '.join(mistakes)}") from None
