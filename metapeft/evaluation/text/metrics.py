"""How near an output is to its reference: BLEU and chrF through `sacrebleu`, and exact match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from metapeft.errors import MetapeftError
from metapeft.sources.examples import normalized

_SQL_PART = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])|\s+""")


class Corpus(NamedTuple):
    """A figure of a corpus from 0 to 1, and sacrebleu's signature of how it was computed: report both."""

    score: float
    signature: str


def bleu(references: Sequence[str], outputs: Sequence[str]) -> Corpus:
    """BLEU of a corpus: n-grams are counted over all outputs, so it is no mean of sentences.

    Args:
        references: one an output, ``(n,)``.
        outputs: ``(n,)``.

    Raises:
        MetapeftError: sacrebleu is not installed.
        ValueError: the lengths differ or there are no outputs.

    References:
        Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (2002); Post, "A call for
        clarity in reporting BLEU scores" (2018).
    """
    return _corpus(_sacrebleu().BLEU(), references, outputs)


def chrf(references: Sequence[str], outputs: Sequence[str]) -> Corpus:
    """chrF2 of a corpus: the F of character n-grams of 1 to 6, recall weighing twice as much.

    Args:
        references: one an output, ``(n,)``.
        outputs: ``(n,)``.

    Raises:
        MetapeftError: sacrebleu is not installed.
        ValueError: the lengths differ or there are no outputs.

    References:
        Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).
    """
    return _corpus(_sacrebleu().CHRF(), references, outputs)


def sentence_bleu(reference: str, output: str) -> float:
    """BLEU of one output, from 0 to 1, smoothed (exponential) and with no order longer than the output.

    Raises:
        MetapeftError: sacrebleu is not installed.

    References:
        Smoothing: Chen & Cherry, "A systematic comparison of smoothing techniques for sentence-level BLEU" (2014).
    """
    return _sacrebleu().BLEU(effective_order=True).sentence_score(output, [reference]).score / 100


def sentence_chrf(reference: str, output: str) -> float:
    """chrF2 of one output, from 0 to 1.

    Raises:
        MetapeftError: sacrebleu is not installed.
    """
    return _sacrebleu().CHRF().sentence_score(output, [reference]).score / 100


def exact_match(reference: str, output: str, kind: Literal["text", "code", "sql"]) -> bool:
    """Whether two outputs are the same but for what never matters.

    Args:
        reference: what should have been written.
        output: what was written.
        kind: ``text``: case and white space do not matter. ``code``: the end of a line, white space before it, and
            blank lines at the start and the end do not; indentation does. ``sql``: white space and case outside
            quotes, and semicolons at the end, do not; comments do.
    """
    form = {"text": normalized, "code": _code, "sql": _sql}[kind]
    return form(reference) == form(output)


def _code(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip("\n")


def _sql(text: str) -> str:
    # split by what is quoted: every second part is; white space has no group, so it comes as None
    parts = [part if part is not None else " " for part in _SQL_PART.split(text)]
    folded = "".join(part if index % 2 else part.casefold() for index, part in enumerate(parts))
    return folded.rstrip("; ").lstrip()


def _corpus(metric: Any, references: Sequence[str], outputs: Sequence[str]) -> Corpus:
    if len(references) != len(outputs) or not outputs:
        raise ValueError(f"one reference an output, and at least one: got {len(references)} and {len(outputs)}")
    score = metric.corpus_score(list(outputs), [list(references)]).score
    return Corpus(score / 100, str(metric.get_signature()))


def _sacrebleu() -> Any:
    """Its metrics.

    Raises:
        MetapeftError: it is not installed.
    """
    try:
        from sacrebleu import metrics
    except ImportError:
        raise MetapeftError(
            'BLEU and chrF need sacrebleu, which is in the extra `eval`\n  pip install "metapeft[eval]"'
        ) from None
    return metrics
