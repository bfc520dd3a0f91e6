"""`python -m metapeft.build recipe=NAME`: recipes to task suites."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from metapeft import cli
from metapeft.errors import HubUnreachable, MetapeftError, SuiteError, did_you_mean
from metapeft.recipes.schema import Range, ordered_range

if TYPE_CHECKING:
    from metapeft.building.order import Order, Session
    from metapeft.building.pipeline import Note
    from metapeft.recipes.registry import Plan
    from metapeft.tasks.suite import Suite

DESCRIPTION = "Turn a recipe into a task suite: rows, splits, leak audit, token ids, dataset card."
EXAMPLES = [
    "python -m metapeft.build recipe=sentiment",
    "python -m metapeft.build recipe=intent tasks=[banking77,hwu64] tokenizer=bert-base-uncased",
    "python -m metapeft.build recipe=sentiment files.multi_domain_sentiment=~/reviews",
    "python -m metapeft.build recipe=quickstart verify=true",
    "python -m metapeft.build list=true",
]


class EpisodeOverrides(BaseModel):
    """Episode settings that beat the recipe's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ways: int | Literal["all"] | Range | None = Field(default=None, description="classes: number, all, [least, most]")
    shots: int | Range | None = Field(default=None, description="support examples a class: number or [least, most]")
    query: int | None = Field(default=None, ge=1, description="query examples an episode")
    max_tokens: int | None = Field(default=None, ge=4, le=8192, description="longest text, in tokens")

    _ordered = field_validator("ways", "shots")(ordered_range)


Names = list[str]  # named here, because BuildConfig has a key called `list`


class BuildConfig(BaseModel):
    """Options of `metapeft build`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    recipe: str | None = Field(default=None, description="name of a shipped recipe, or the path of a recipe file")
    out: str | None = Field(default=None, description="folder of the suite; default runs/suites/<recipe>")
    data: Literal["auto", "hub", "synthetic"] = Field(
        default="auto",
        description="auto: the Hub or its cache, else the embedded synthetic counterpart, said loudly; hub: refuse "
        "instead; synthetic: the counterpart at once",
    )
    tasks: Names = Field(default=[], description="build these tasks only")
    files: dict[str, str] = Field(default={}, description="folders of your own for `kind: files` sources")
    tokenizer: str | None = Field(
        default=None,
        description="default or pico (embedded), a local folder, or a Hub id; without it pico's where every task is of "
        "kind generation, which the lower-casing default would spoil, else the default",
    )
    leaks: Literal["drop", "keep"] = Field(default="drop", description="query rows that the leak audit finds")
    episodes: EpisodeOverrides = Field(default=EpisodeOverrides(), description="episode defaults of every task")
    force: bool = Field(default=False, description="build even when nothing changed")
    verify: bool = Field(default=False, description="build again beside an existing suite and compare every byte")
    dry_run: bool = Field(default=False, description="show what would be built")
    list: bool = Field(default=False, description="show the shipped recipes")
    quiet: bool = Field(default=False, description="print the result only")


def build(config: BuildConfig) -> int:
    """Run the verb; returns the exit code (1: `verify` found a difference).

    Raises:
        MetapeftError: see the message.
    """
    from metapeft.recipes import registry

    if config.list:
        _show_recipes()
        return 0
    if config.recipe is None:
        raise MetapeftError(f"recipe=NAME is missing. Known recipes: {', '.join(registry.recipe_names())}")
    if config.data == "synthetic":
        return _build_plan(config, synthetic=True)
    try:
        return _build_plan(config, synthetic=False)
    except HubUnreachable as unreachable:
        if config.data == "hub":
            raise HubUnreachable(
                f"recipe '{config.recipe}': {unreachable}. With data=hub nothing else is built in its place"
            ) from unreachable
        if config.tasks:
            raise HubUnreachable(
                f"recipe '{config.recipe}': {unreachable}. The tasks {', '.join(config.tasks)} have no synthetic "
                "counterpart one by one; build the whole recipe, or name tasks whose rows are in the cache"
            ) from unreachable
        _banner(
            f"THE HUB CANNOT BE REACHED: building SYNTHETIC data in place of recipe '{config.recipe}'.",
            f"Reason: {unreachable}",
            "Figures measured on this suite say nothing about real text. data=hub refuses instead.",
        )
        return _build_plan(config, synthetic=True)


def _build_plan(config: BuildConfig, *, synthetic: bool) -> int:
    from metapeft import atomic
    from metapeft.building.order import Order, Session, inputs_digest
    from metapeft.recipes import registry
    from metapeft.tasks.suite import Suite

    assert config.recipe is not None
    start = time.perf_counter()
    plan = registry.plan(config.recipe, only=config.tasks or None, synthetic=synthetic)
    overrides = {key: value for key, value in config.episodes.model_dump().items() if value is not None}
    writes = all(planned.task.kind == "generation" for planned in plan.tasks)
    tokenizer = config.tokenizer or ("pico" if writes else "default")
    order = Order(plan, tokenizer, dict(config.files), config.leaks, overrides)
    _check_files(config, plan)
    out = Path(config.out) if config.out else Path("runs/suites") / plan.name
    if config.out and plan.synthetic and config.data == "auto":
        out = out.with_name(f"{out.name}-synthetic")  # never where the real rows were asked for
    if config.dry_run:
        _show_plan(order, out)
        return 0
    _refuse_strange_folder(out)
    if config.quiet:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    note = _silent if config.quiet else _note
    session = Session(order.folders)
    inputs = inputs_digest(order, session)
    old = Suite(out) if (out / "manifest.json").is_file() else None
    if config.verify:
        if old is None:
            raise SuiteError(f"{out}: nothing to verify; build it first")
        return _verify(old, order, session, inputs, note)
    if old is not None and not config.force and old.manifest["inputs"] == inputs and old.is_whole():
        print(f"{out}: up to date, nothing to do ({len(old.tasks)} tasks, origin: {old.manifest['origin']})")
        return 0
    from metapeft.building import pipeline

    note(f"building {len(order.split()[0])} tasks of recipe '{plan.recipe.name}' into {out}")
    with atomic.whole_folder(out) as staging:
        manifest = pipeline.assemble(order, staging, session, inputs, note)
    _report(manifest, out, time.perf_counter() - start)
    return 0


def _verify(old: Suite, order: Order, session: Session, inputs: str, note: Note) -> int:
    from metapeft.building import pipeline

    problems = old.damaged()
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=old.path.parent) as folder:
        fresh = pipeline.assemble(order, Path(folder), session, inputs, note)
    if fresh["inputs"] != old.manifest["inputs"]:
        note("its inputs differ now: recipe, code, libraries, options or the sources' commits")
    was, now = old.manifest["files"], fresh["files"]
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            state = "new" if name not in was else "gone" if name not in now else "differs"
            problems.append(f"{name}: {state} when built again")
    if not problems and fresh != old.manifest:
        problems.append("manifest.json: differs when built again")
    for line in problems:
        print(f"  {line}")
    print(f"{old.path}: " + (f"{len(problems)} differences" if problems else f"verified, {len(now)} files the same"))
    return 1 if problems else 0


def _check_files(config: BuildConfig, plan: Plan) -> None:
    sources = [planned.task.source for planned in plan.tasks]
    known = {source.name for source in sources if source.kind == "files"}
    for name in config.files:
        if name not in known and not plan.synthetic:
            raise MetapeftError(
                f"files.{name}: recipe '{plan.recipe.name}' has no such source.{did_you_mean(name, known)} "
                + (f"It has: {', '.join(sorted(known))}" if known else "It reads no files")
            )


def _refuse_strange_folder(out: Path) -> None:
    """A build replaces its folder as a whole, so it must be one of ours."""
    if out.exists() and not out.is_dir():
        raise SuiteError(f"{out}: is a file, not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise SuiteError(f"{out}: holds other files and no suite; name another folder with out=")


# --- what people read ---------------------------------------------------------------------------


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    pass


def _banner(*lines: str) -> None:
    width = min(max(map(len, lines)), shutil.get_terminal_size((100, 24)).columns - 4)
    _note("\n".join(["!" * (width + 4), *(f"! {line}" for line in lines), "!" * (width + 4)]))


def _report(manifest: dict[str, Any], out: Path, seconds: float) -> None:
    tasks = manifest["tasks"]
    rows = {pool: sum(task["rows"][pool] for task in tasks) for pool in ("support", "query")}
    for task in tasks:
        for split, facts in task["drift"].items():
            _note(
                f"note: {task['id']}: split {split} has {facts['found']:,} rows, the recipe expects "
                f"{facts['expected']:,}"
            )
        limited = {
            pool: reasons["over the limit"] for pool, reasons in task["dropped"].items() if "over the limit" in reasons
        }
        if split := sum(facts.get("windows", 0) for facts in task["lengths"].values()):
            longest = task["episodes"]["max_tokens"]
            _note(f"note: {task['id']}: sentences longer than {longest} tokens became {split:,} further rows")
        if limited:
            over = ", ".join(f"{count:,} {pool} rows" for pool, count in limited.items())
            _note(f"note: {task['id']}: its limit leaves {over} out")
    for item in manifest["skipped"]:
        _note(f"not built: {item['id']}: {item['why']} ({item['about']})")
    print(f"suite     {out}")
    synthetic = "  (made by generators, no real data)" if manifest["origin"] == "synthetic" else ""
    print(f"origin    {manifest['origin']}{synthetic}")
    print(f"tasks     {len(tasks)} in {len(manifest['families'])} families")
    print(f"rows      {rows['support']:,} support, {rows['query']:,} query")
    print(f"leaks     {manifest['leak_audit']['found']:,} query rows found, {manifest['leak_audit']['rows']}")
    print(f"took      {seconds:.1f} s")
    print(f"next      python -m metapeft.inspect suite={out}")


def _show_recipes() -> None:
    from metapeft.recipes import registry

    for name in registry.recipe_names():
        plan = registry.plan(name)
        print(f"{name:18} {len(plan.tasks):4} tasks  {plan.recipe.description}")


def _show_plan(order: Order, out: Path) -> None:
    built, skipped = order.split()
    print(f"would build {len(built)} tasks into {out}")
    for planned in built:
        print(f"  {planned.task.id:32} {planned.family:14} {planned.task.kind:15} {planned.task.source.identity}")
    for planned, source in skipped:
        print(f"  {planned.task.id:32} not built: name files.{source.name}=FOLDER")


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(build, BuildConfig, argv, prog="metapeft build", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
