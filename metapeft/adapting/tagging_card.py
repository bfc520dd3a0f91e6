"""The card of a tagger: what it is, how it was chosen, and how far to trust it, in short sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metapeft.adapting.card import STARTS, nearest_tasks, trained_by, weights_of

_HEAD = """---
library_name: metapeft
pipeline_tag: token-classification
tags: [metapeft, few-shot, lora]
---

"""


def card(result: dict[str, Any], folder: Path) -> str:
    """The card as Markdown.

    Args:
        result: as in ``result.json``.
        folder: where the tagger will lie.
    """
    counts = result["labels"]
    parts = [
        _HEAD + f"# {folder.name}",
        f"A tagger of {len(counts)} types of entities. metapeft made it from {result['sentences']:,} sentences "
        f"of {result['words']:,} words.",
        "| type | mentions |\n| --- | ---: |\n"
        + "\n".join(f"| {_cell(name)} | {count} |" for name, count in counts.items()),
        "## What was chosen\n\n" + _chosen(result),
        "## How good it is\n\n" + _figures(result["estimate"]),
    ]
    parts += nearest_tasks(result)
    if result["notes"]:
        parts.append("## Notes on the sentences\n\n" + "\n".join(f"- {note}" for note in result["notes"]))
    parts += ["## Limits\n\n" + _LIMITS, "## How to use it\n\n" + _usage(folder)]
    return "\n\n".join(parts) + "\n"


def _chosen(result: dict[str, Any]) -> str:
    candidate, start, head = result["candidate"], result["start"], result["head"]
    lines = [f"**{result['chosen']}** on the backbone `{result['backbone']}`. {STARTS[candidate['start']]}"]
    prototypes = (
        "A type is the mean of its words. A word is outside of all as far as it is like a word outside in the "
        f"sentences; {head['rows']:,} rows are kept for that, {head['bytes'] / 2**20:.1f} MB."
    )
    regression = "Words are told apart by a logistic regression on the features."
    both = f"{prototypes} A logistic regression on the features has its say too."
    lines.append({"prototype": prototypes, "logistic": regression, "both": both}[candidate["classifier"]])
    if candidate["detector"]:
        lines.append("What training tasks say of where mentions are, whatever their type, counts too.")
    lines += weights_of(candidate)
    if start["checkpoint"] is None:
        lines.append("How types follow each other in a sentence was counted in your sentences.")
    else:
        lines.append(trained_by(start))
    return " ".join(lines) + f"\n\n{result['why']}"


def _figures(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "Not measured. Every type is in one sentence only. Tag a few more and run adapt again."
    low, high = (100 * end for end in estimate["ci95"])
    rows = "\n".join(
        f"| {_cell(name)} | {100 * f['precision']:.1f} | {100 * f['recall']:.1f} | {100 * f['f1']:.1f} "
        f"| {f['mentions']} |"
        for name, f in estimate["types"].items()
    )
    return (
        f"**F1 {100 * estimate['f1']:.1f}** on sentences left out; the 95 % interval is {low:.0f} to {high:.0f}. "
        f"{100 * estimate['precision']:.1f} % of what was found is right, and {100 * estimate['recall']:.1f} % of what "
        "is there was found. An entity counts where its start, its end and its type are right.\n\n"
        f"The frozen prototypes had an F1 of {100 * estimate['frozen']:.1f}. "
        f"Looking up the entities of the other sentences had {100 * estimate['gazetteer']:.1f}.\n\n"
        f"| type | precision | recall | F1 | mentions |\n| --- | ---: | ---: | ---: | ---: |\n{rows}\n\n"
        f"{estimate['sentences']} sentences were left out in turn, {estimate['repeats']} times over. "
        "Each time the start was chosen anew without them, so the choice could not peek. "
        "The tagger here is made from all sentences, so it may be a little better. "
        "The interval knows how few sentences there are. It does not know whether they are like your texts of tomorrow."
    )


_LIMITS = """- The scores are not calibrated. Use them to sort, not as chances.
- Two entities of one type side by side are found as one. Entities within entities are not found.
- Raw text is cut into words at spaces and at every sign. Where your sentences were cut otherwise, give lists of words.
- Texts of another kind than the sentences can do much worse. Tag some of them and measure."""


def _usage(folder: Path) -> str:
    return (
        f'```bash\npython -m metapeft.predict adapter={folder} text="..."\n'
        f"python -m metapeft.predict adapter={folder} data=texts.txt out=entities.jsonl\n```\n\n"
        "```python\nfrom metapeft.adapting import load_tagger\n\n"
        f'tagger = load_tagger("{folder}")\ntagger.entities(["..."])\n```'
    )


def _cell(name: str) -> str:
    return name.replace("|", "/")
