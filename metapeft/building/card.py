"""The dataset card of a suite: for people, and for `datasets.load_dataset`."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from metapeft import atomic

SYNTHETIC_BANNER = (
    "> **Synthetic.** Every text here was made by a grammar of metapeft. Figures measured on it say nothing about real "
    "text."
)


def dataset_card(manifest: dict[str, Any]) -> str:
    """`README.md` of a suite: front matter with one configuration a task, tables, licences and citations.

    Args:
        manifest: the manifest, without its list of files.
    """
    tasks = manifest["tasks"]
    parts = [
        "---\n" + yaml.safe_dump(_front_matter(manifest), sort_keys=False, allow_unicode=True, width=120) + "---\n",
        f"# {manifest['name']}\n",
        manifest["description"] + "\n",
    ]
    if manifest["origin"] == "synthetic":
        parts.append(SYNTHETIC_BANNER + "\n")
        if manifest["stands_in_for"]:
            parts.append(
                f"> It stands in for the recipe `{manifest['stands_in_for']}`, whose repositories could not be reached "
                "or were not asked for.\n"
            )
    parts += [
        f"Built by metapeft from recipe version {manifest['version']}. {len(tasks)} tasks in "
        f"{len(manifest['families'])} families. Token ids: tokenizer `{manifest['tokenizer']['name']}`.\n",
        "## Tasks\n",
        _table(
            ["task", "family", "domain", "kind", "labels", "support", "query", "leaks found", "cut at max_tokens"],
            [
                [
                    task["id"],
                    task["family"],
                    task["domain"],
                    task["kind"],
                    len(task["labels"]) or "",
                    task["rows"]["support"],
                    task["rows"]["query"],
                    sum(task["dropped"]["leaks"].values()),
                    sum(facts["cut"] for facts in task["lengths"].values()) if task["lengths"] else "",
                ]
                for task in tasks
            ],
        ),
        "## What was left out\n",
        _table(
            ["task", "pool", "reason", "rows"],
            [
                [task["id"], pool, reason, count]
                for task in tasks
                for pool, reasons in task["dropped"].items()
                for reason, count in reasons.items()
            ],
        )
        or "Nothing.\n",
    ]
    drift = [
        [task["id"], split, facts["expected"], facts["found"]]
        for task in tasks
        for split, facts in task["drift"].items()
    ]
    if drift:
        parts += [
            "## Rows that differ from what the recipe expects\n",
            _table(["task", "split", "expected", "found"], drift),
        ]
    if manifest["skipped"]:
        parts += [
            "## Not built\n",
            _table(["task", "why", "what it is"], [[s["id"], s["why"], s["about"]] for s in manifest["skipped"]]),
        ]
    sources = [
        [task["id"], _source(task["source"]), task["license"] or "not stated", task["citation"] or ""] for task in tasks
    ]
    parts += ["## Sources, licences and citations\n", _table(["task", "source", "licence", "citation"], sources)]
    parts.append(
        "The rows belong to their authors under the licences named above.\n\n"
        "## Files\n\n"
        "`TASK/support.parquet` and `TASK/query.parquet` hold the rows; `TASK/tokens-*.arrow` holds the same rows as "
        "token ids (columns `x` and `y`, one record batch, to be mapped into memory); `manifest.json` names every file "
        "with its SHA-256.\n"
    )
    return "\n".join(parts)


def _front_matter(manifest: dict[str, Any]) -> dict[str, Any]:
    # `datasets` keys its cache for a local folder by the folder's name and this block alone. The digest makes the
    # block differ whenever the rows do, so that nobody is given the rows of an earlier build.
    facts = [manifest["inputs"], manifest["leak_audit"], [task["rows"] for task in manifest["tasks"]]]
    digest = hashlib.sha256(atomic.canonical_json(facts).encode()).hexdigest()
    return {
        "pretty_name": manifest["name"],
        "tags": ["metapeft", "few-shot"] + (["synthetic"] if manifest["origin"] == "synthetic" else []),
        "configs": [
            {
                "config_name": task["id"],
                "description": f"suite {digest[:16]}",
                "data_files": [
                    {"split": "train", "path": f"{task['id']}/support.parquet"},
                    {"split": "test", "path": f"{task['id']}/query.parquet"},
                ],
            }
            for task in manifest["tasks"]
        ],
    }


def _source(source: dict[str, Any]) -> str:
    if source["kind"] == "hub":
        where = source["path"] + "".join(f", {source[key]}" for key in ("config", "data_dir") if source[key])
        return f"{where} @ {source['commit'][:12]}"
    if source["kind"] == "files":
        return f"files `{source['name']}`: " + ", ".join(source["files"])
    return f"metapeft generator `{source['generator']}`"


def _table(header: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
