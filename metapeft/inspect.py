"""`python -m metapeft.inspect suite=DIR`: what is in a suite, and whether its episodes are sound."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli

DESCRIPTION = "Show a suite's tasks and families, and check many episodes of each kind (exit 1 if a check fails)."
EXAMPLES = ["python -m metapeft.inspect suite=runs/suites/sentiment"]


class InspectConfig(BaseModel):
    """Options of `metapeft inspect`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    out: str | None = Field(default=None, description="folder of the result; default runs/inspect/<suite>")
    episodes: int = Field(default=1000, ge=1, description="episodes of each kind, spread over the tasks")
    seed: int = Field(default=0, ge=0, description="seed of the episodes")


def inspect(config: InspectConfig) -> int:
    """Run the verb; returns 1 when a check fails.

    Raises:
        MetapeftError: there is no suite, or a task cannot give the episodes its recipe promises.
    """
    from rich.console import Console

    from metapeft import atomic
    from metapeft.episodes.checks import CHECKS, run_checks
    from metapeft.tasks.suite import Suite

    suite = Suite(config.suite)
    manifest = suite.manifest
    # a pipe or a file has no width of its own: leave every column whole there
    console = Console() if sys.stdout.isatty() else Console(width=220)
    console.print(f"{manifest['name']} {manifest['version']}, origin {manifest['origin']}: {manifest['description']}")
    if manifest["origin"] == "synthetic":
        console.print("[bold]SYNTHETIC: no real data. Figures measured here say nothing about real text.[/]")
    tasks = [_task_facts(task.entry) for task in suite.tasks]
    families = _family_facts(tasks)
    console.print(_table("Tasks", tasks))
    console.print(_table("Families", families))
    reports = run_checks(suite, config.episodes, config.seed)
    console.print(_table("Episodes", [_report_facts(report, CHECKS) for report in reports]))
    faults = [(report.kind, check, line) for report in reports for check, ls in report.faults.items() for line in ls]
    for kind, check, line in faults[:20]:
        console.print(f"  {kind}, {check}: {line}", markup=False)
    damaged = suite.damaged()
    for line in damaged:
        console.print(f"  damaged: {line}", markup=False)
    out = Path(config.out) if config.out else Path("runs/inspect") / suite.path.resolve().name
    result = {
        "verb": "inspect",
        "suite": manifest["name"],
        "suite_sha256": suite.sha256,
        "origin": manifest["origin"],
        "seed": config.seed,
        "tasks": tasks,
        "families": families,
        "episodes": [
            {
                "kind": report.kind,
                "episodes": report.episodes,
                "tasks": report.tasks,
                "digest": report.digest,
                "checks": {check: check not in report.faults for check in CHECKS} if report.tasks else {},
                "faults": {check: lines[:20] for check, lines in report.faults.items()},
            }
            for report in reports
        ],
        "damaged": damaged,
        "passed": not faults and not damaged,
    }
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    verdict = "every check holds" if result["passed"] else f"{len(faults) + len(damaged)} FAULTS"
    console.print(f"{verdict}; details in {out / 'result.json'}")
    return 0 if result["passed"] else 1


def _task_facts(entry: dict[str, Any]) -> dict[str, Any]:
    counts = entry["class_rows"].get("support", [])
    lengths = entry["lengths"].get("support", {})
    dropped = entry["dropped"]
    duplicates = sum(
        count for pool in ("support", "query") for why, count in dropped[pool].items() if why.startswith("duplicate")
    )
    return {
        "task": entry["id"],
        "family": entry["family"],
        "kind": entry["kind"],
        "domain": entry["domain"],
        "support": entry["rows"]["support"],
        "query": entry["rows"]["query"],
        "classes": len(entry["labels"]) if counts else 0,
        "least/class": min(counts, default=0),
        "balance": round(_balance(counts), 2) if counts else None,
        "tokens p50": lengths.get("p50"),
        "p95": lengths.get("p95"),
        "cut": sum(facts["cut"] for facts in entry["lengths"].values()),
        "duplicates": duplicates,
        "leaks": sum(dropped["leaks"].values()),
    }


def _balance(counts: list[int]) -> float:
    """Entropy of the classes over its largest value: 1 is even, 0 is one class only."""
    total = sum(counts)
    shares = [count / total for count in counts if count]
    return -sum(share * math.log(share) for share in shares) / math.log(len(counts))


SUMMED = ("support", "query", "duplicates", "leaks")


def _family_facts(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for task in tasks:
        zero = {"family": task["family"], "tasks": 0, "domains": set()} | dict.fromkeys(SUMMED, 0)
        facts = out.setdefault(task["family"], zero)
        facts["tasks"] += 1
        facts["domains"].add(task["domain"])
        for key in SUMMED:
            facts[key] += task[key]
    return [facts | {"domains": len(facts["domains"])} for facts in out.values()]


def _report_facts(report: Any, checks: tuple[str, ...]) -> dict[str, Any]:
    facts = {"kind": report.kind, "episodes": report.episodes, "tasks": report.tasks}
    for check in checks:
        facts[check] = "-" if not report.tasks else "FAILS" if check in report.faults else "ok"
    facts["episodes/s"] = round(report.episodes / report.seconds) if report.tasks else None
    return facts


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in rows[0]:
        number = any(isinstance(row[name], (int, float)) for row in rows)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    return table


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(inspect, InspectConfig, argv, prog="metapeft inspect", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
