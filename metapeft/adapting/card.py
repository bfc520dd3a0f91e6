"""The card of an adapter: what it is, how it was chosen, and how far to trust it, in short sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metapeft.meta.select import FROZEN

_HEAD = """---
library_name: metapeft
pipeline_tag: text-classification
tags: [metapeft, few-shot, lora]
---

"""


STARTS = {
    "frozen": "The frozen network. There is no adapter.",
    "static": "The learned initialization that is the same for every task.",
    "hypernetwork": "The adapter that the hypernetwork generated for this task.",
}


def card(result: dict[str, Any], folder: Path) -> str:
    """The card as Markdown.

    Args:
        result: as in ``result.json``.
        folder: where the classifier will lie.
    """
    counts = result["labels"]
    parts = [
        _HEAD + f"# {folder.name}",
        f"A text classifier for {len(counts)} labels. metapeft made it from {sum(counts.values())} examples.",
        "| label | examples |\n| --- | ---: |\n"
        + "\n".join(f"| {name.replace('|', '/')} | {count} |" for name, count in counts.items()),
        "## What was chosen\n\n" + _chosen(result),
        "## How accurate it is\n\n" + _accuracy(result["estimate"]),
    ]
    parts += nearest_tasks(result)
    if result["notes"]:
        parts.append("## Notes on the examples\n\n" + "\n".join(f"- {note}" for note in result["notes"]))
    parts += ["## Limits\n\n" + _LIMITS, "## How to use it\n\n" + _usage(folder)]
    return "\n\n".join(parts) + "\n"


def nearest_tasks(result: dict[str, Any]) -> list[str]:
    """The section on the nearest training tasks; none where there are none."""
    lines = "\n".join(f"- {entry['task']} ({entry['similarity']:.2f})" for entry in result["nearest"])
    return ["## Nearest training tasks\n\nCosine of the task embeddings; 1 is the same.\n\n" + lines] if lines else []


def weights_of(candidate: dict[str, Any]) -> list[str]:
    """A sentence on the weight of adapted features; none for the frozen network."""
    if candidate["start"] == FROZEN.start:
        return []
    return [f"Adapted features weigh {candidate['mix']:g}, frozen ones {1 - candidate['mix']:g}."]


def trained_by(start: dict[str, Any]) -> str:
    """A sentence on the checkpoint."""
    families = ", ".join(start["training_families"])
    return f"The checkpoint was trained by {start['method']} on {start['suite']} ({families})."


def _chosen(result: dict[str, Any]) -> str:
    candidate, start = result["candidate"], result["start"]
    lines = [f"**{result['chosen']}** on the backbone `{result['backbone']}`. {STARTS[candidate['start']]}"]
    mean, logistic = "A label is the mean of its examples.", "The classifier is a logistic regression on the features."
    lines.append({"prototype": mean, "logistic": logistic}[candidate["classifier"]])
    lines += weights_of(candidate)
    lines.append(
        "The names of the labels count as examples." if candidate["names"] else "Names of labels do not count."
    )
    if start["checkpoint"] is not None:
        lines.append(trained_by(start))
    return " ".join(lines) + f"\n\n{result['why']}"


def _accuracy(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "Not measured. No label has two examples. Label a few more and run adapt again."
    low, high = (100 * end for end in estimate["ci95"])
    return (
        f"**{100 * estimate['accuracy']:.1f} %** of the examples left out were classified right; "
        f"the 95 % interval is {low:.0f} to {high:.0f} %.\n\n"
        f"The frozen prototype had {100 * estimate['frozen']:.1f} %. "
        f"Always saying the most frequent label would have {100 * estimate['majority']:.1f} %.\n\n"
        f"{estimate['examples']} examples were left out in turn, {estimate['repeats']} times over. "
        "Each time the start was chosen anew without them, so the choice could not peek. "
        "The classifier here is made from all examples, so it may be a little better. "
        "The interval knows how few examples there are. It does not know whether they are like your texts of tomorrow."
    )


_LIMITS = """- The probabilities are not calibrated. Use them to sort, not as chances.
- Every text gets one of the labels, even a text that fits none.
- Texts of another kind than the examples can do much worse. Label some of them and measure."""


def _usage(folder: Path) -> str:
    return (
        f'```bash\npython -m metapeft.predict adapter={folder} text="..."\n'
        f"python -m metapeft.predict adapter={folder} data=texts.csv out=labels.jsonl\n```\n\n"
        "```python\nfrom metapeft.adapting import load_classifier\n\n"
        f'classifier = load_classifier("{folder}")\nclassifier.predict(["..."])\n```'
    )
