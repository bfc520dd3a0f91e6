"""What a recipe says: the pydantic models behind `recipes/*.yaml`.

A recipe is declarative. It names rows (a source), how a row becomes an example (fields, labels,
filters) and how episodes are drawn from them by default. It holds no code.
"""

from __future__ import annotations

import itertools
import re
import string
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scalar = str | int | float | bool
RawLabel = str | int
Range = Annotated[list[int], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=64)]
LONGEST_ID = 80
PoolName = Literal["support", "query"]
DEFAULT_LIMIT: dict[PoolName, int] = {"support": 10_000, "query": 2_500}


class Strict(BaseModel):
    """Every model of a recipe: unknown keys are errors, nothing is coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- where rows come from -----------------------------------------------------------------------


class Splits(Strict):
    """Which splits (Hub) or file patterns (files) fill each pool of a task."""

    support: list[str] = Field(min_length=1, description="splits, or file patterns, of the support pool")
    query: list[str] = Field(
        default=[],
        description="splits, or file patterns, of the query pool; empty: 30 % of the support rows, chosen by a hash "
        "of their text, so that equal texts fall on one side",
    )

    @model_validator(mode="after")
    def _no_split_in_both_pools(self) -> Splits:
        both = sorted(set(self.support) & set(self.query))
        if both:
            raise ValueError(f"{', '.join(both)} fills both pools; support and query may not share rows")
        return self


class HubSource(Strict):
    """A dataset repository on the Hugging Face Hub."""

    kind: Literal["hub"]
    path: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$", description="ORG/NAME")
    config: str | None = Field(default=None, description="configuration name")
    data_dir: str | None = Field(default=None, description="folder inside the repository, with refs/convert/parquet")
    revision: str | None = Field(default=None, description="branch, tag or commit; default: main")
    splits: Splits

    @property
    def identity(self) -> str:
        """`ORG/NAME[/CONFIG]`: what two families may not share."""
        return "/".join(part for part in (self.path, self.config or self.data_dir) if part)


class FilesSource(Strict):
    """Files of the user's own: the recipe says their shape, the command line says where they are."""

    kind: Literal["files"]
    name: Name = Field(description="the key of `files.NAME=FOLDER` on the command line")
    about: str = Field(description="what to put in the folder and where people get it")
    splits: Splits = Field(description="file patterns, such as train*.csv (csv, tsv, json, jsonl, parquet)")

    @property
    def identity(self) -> str:
        return f"files/{self.name}"


class SyntheticSource(Strict):
    """Examples made by a generator of metapeft; see `metapeft/sources`."""

    kind: Literal["synthetic"]
    generator: str = Field(description="a name that metapeft.sources knows")
    params: dict[str, Any] = Field(default={}, description="the generator's parameters")
    size: dict[PoolName, Annotated[int, Field(ge=1)]] = Field(description="rows of each pool")
    seed: int = 0

    @field_validator("size")
    @classmethod
    def _both_pools(cls, value: dict[str, int]) -> dict[str, int]:
        if set(value) != {"support", "query"}:
            raise ValueError("needs the rows of both pools: {support: 500, query: 500}")
        return value

    @property
    def identity(self) -> str:
        return f"synthetic/{self.generator}"


Source = Annotated[HubSource | FilesSource | SyntheticSource, Field(discriminator="kind")]

# --- how a row becomes an example ---------------------------------------------------------------


class Column(Strict):
    """A column and what to do with its value: replace, split, take, join, in this order."""

    column: str = Field(description="dotted path into the row: `answers.text.0`")
    replace: dict[str, str] = Field(default={}, description="literal text to put in place of other text")
    split: str | None = Field(default=None, description="cut the text at this separator into a list")
    take: int | None = Field(default=None, description="keep one item of the list")
    join: str | None = Field(default=None, description="join a list into one text")


class Template(Strict):
    """Text with `{column}` places: `{title}. {content}`. A place holds a dotted path."""

    template: str

    @field_validator("template")
    @classmethod
    def _plain_places(cls, value: str) -> str:
        template_places(value)
        return value


FieldSpec = str | Column | Template


def template_places(template: str) -> list[str]:
    """The dotted paths in a template, in order. Conversions and format codes are refused."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from None
    places = []
    for _, name, code, conversion in parts:
        if name is None:
            continue
        if not name or code or conversion:
            raise ValueError(f"a place is written {{column}}, without codes: {template!r}")
        places.append(name)
    return places


class Filters(Strict):
    """Which rows stay."""

    min_chars: int = Field(default=1, ge=1, description="shortest text kept, in characters")
    max_chars: int | None = Field(default=None, ge=1, description="longest text kept, in characters")
    where: dict[str, RawLabel | list[RawLabel]] = Field(
        default={}, description="keep rows whose column has this raw value, or one of these"
    )

    @model_validator(mode="after")
    def _some_text_fits(self) -> Filters:
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise ValueError(f"no text has at least {self.min_chars} and at most {self.max_chars} characters")
        return self


def ordered_range(value: Any) -> Any:
    """Check that a number or [least, most] is at least 1 and in order; `all` and None pass.

    Raises:
        ValueError: it is not.
    """
    low, high = value if isinstance(value, list) else (value, value)
    if value not in ("all", None) and not 1 <= low <= high:
        raise ValueError(f"needs 1 <= least <= most, got {value}")
    return value


class EpisodeDefaults(Strict):
    """How episodes are drawn from a task unless the command line or the caller says otherwise."""

    ways: int | Literal["all"] | Range = Field(default="all", description="classes: a number, all, or [least, most]")
    shots: int | Range = Field(default=5, description="support examples a class (tagging, generation: in all)")
    query: int = Field(default=50, ge=1, description="query examples an episode, spread evenly over its classes")
    max_tokens: int = Field(
        default=64, ge=4, le=8192, description="longer texts are cut here; the share cut is reported"
    )

    @field_validator("ways", "shots")
    @classmethod
    def _ordered(cls, value: Any) -> Any:
        return ordered_range(value)

    @property
    def least_shots(self) -> int:
        return self.shots[0] if isinstance(self.shots, list) else self.shots


class TaskBase(Strict):
    """What every task says, whatever its kind."""

    id: str = Field(pattern=r"^[a-z0-9{][a-z0-9_{}.]*$", max_length=LONGEST_ID, description="unique among all recipes")
    family: Name | None = Field(default=None, description="the recipe's family unless said otherwise")
    domain: str = Field(description="what the texts are about or where they come from")
    language: str = Field(default="en", description="BCP 47 code")
    difficulty: float = Field(default=0.5, ge=0, le=1, description="0 easy, 1 hard; curriculum stages filter on it")
    source: Source
    expand: dict[Name, Annotated[list[Scalar], Field(min_length=1)]] = Field(
        default={},
        description="one task for each combination of these values; they fill {name} in id and domain, and become "
        "parameters of the generator (difficulty also becomes the task's difficulty)",
    )
    limit: dict[PoolName, Annotated[int, Field(ge=1)]] = Field(
        default=DEFAULT_LIMIT,
        description="most rows of each pool; which rows stay is decided by a hash of their text; a pool that is not "
        "named keeps its default",
    )
    expect: dict[str, int] = Field(default={}, description="rows of each split on the Hub; a difference is reported")
    license: str | None = Field(default=None, description="as the dataset's card says")
    citation: str | None = Field(default=None, description="where the dataset was published")
    homepage: str | None = None
    episodes: EpisodeDefaults | None = Field(default=None, description="the recipe's episodes unless said otherwise")

    @field_validator("limit")
    @classmethod
    def _limit_of_each_pool(cls, value: dict[PoolName, int]) -> dict[PoolName, int]:
        return {**DEFAULT_LIMIT, **value}

    @model_validator(mode="after")
    def _expands(self) -> TaskBase:
        for name, text in (("id", self.id), ("domain", self.domain)):
            strangers = sorted(set(template_places(text)) - set(self.expand))
            if strangers:
                raise ValueError(f"{name} {text!r} has the place {{{strangers[0]}}}, which is not in expand")
        if not self.expand:
            return self
        if not isinstance(self.source, SyntheticSource):
            raise ValueError("expand is for synthetic sources")
        both = sorted(set(self.expand) & set(self.source.params))
        if both:
            raise ValueError(f"{', '.join(both)} stands both in expand and in the generator's params")
        for value in self.expand.get("difficulty", []):
            if isinstance(value, (str, bool)) or not 0 <= value <= 1:
                raise ValueError(f"expand.difficulty holds {value!r}; a difficulty is a number from 0 to 1")
        # An id becomes a folder's name, so an expanded one keeps the rules of a written one.
        seen: set[str] = set()
        for variant in self.variants():
            if not re.fullmatch(r"[a-z0-9][a-z0-9_.]*", variant.id) or len(variant.id) > LONGEST_ID:
                raise ValueError(
                    f"id {self.id!r} expands to {variant.id!r}; an id has a-z, 0-9, _ and . only, at most 80"
                )
            if variant.id in seen:
                raise ValueError(f"id {self.id!r} expands to {variant.id!r} twice; name every key of expand in it")
            seen.add(variant.id)
        return self

    def variants(self) -> list[Self]:
        """One task for each combination of `expand`, in the order written; `[self]` without it."""
        if not self.expand:
            return [self]
        out: list[Self] = []
        for values in itertools.product(*self.expand.values()):
            chosen = dict(zip(self.expand, values, strict=True))
            assert isinstance(self.source, SyntheticSource)
            source = self.source.model_copy(update={"params": {**self.source.params, **chosen}})
            update: dict[str, Any] = {
                "id": self.id.format(**chosen),
                "domain": self.domain.format(**chosen),
                "source": source,
                "expand": {},
            }
            if "difficulty" in chosen:
                update["difficulty"] = float(chosen["difficulty"])
            out.append(self.model_copy(update=update))
        return out


class Labelled(TaskBase):
    """What classification and tagging share."""

    labels: list[str] = Field(min_length=1, description="label names in order; their place is the label id")
    label_map: dict[RawLabel, str] = Field(
        default={}, description="raw value to label name, where the data does not hold the label names themselves"
    )
    drop_labels: list[RawLabel] = Field(default=[], description="raw values whose rows are left out, such as -1")
    undeclared_labels: Literal["error", "drop"] = Field(
        default="error",
        description="a raw value that is not declared: stop, or leave its row out (tagging: make its tags O)",
    )

    @model_validator(mode="after")
    def _labels_agree(self) -> Labelled:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in labels")
        strangers = sorted(set(self.label_map.values()) - set(self.labels))
        if strangers:
            raise ValueError(f"label_map names labels that are not in labels: {', '.join(strangers)}")
        torn = [str(raw) for raw in self.drop_labels if raw in self.label_map]
        if torn:
            raise ValueError(f"both mapped to a label and dropped: {', '.join(torn)}")
        return self


class ClassificationFields(Strict):
    text: FieldSpec
    pair: FieldSpec | None = Field(
        default=None, description="second text of a pair, tokenized as the tokenizer does pairs"
    )
    label: FieldSpec


class ClassificationTask(Labelled):
    """One text, or a pair of texts, and one label."""

    kind: Literal["classification"]
    fields: ClassificationFields
    filters: Filters = Filters()
    labels: list[str] = Field(min_length=2)


class TaggingFields(Strict):
    tokens: FieldSpec
    tags: FieldSpec


class TaggingTask(Labelled):
    """Words and a BIO tag for each; `labels` are the entity types."""

    kind: Literal["tagging"]
    fields: TaggingFields
    filters: Filters = Filters()
    tag_names: list[str] = Field(
        default=[], description="name of each integer tag, where the Hub has plain integers; O need not be 0"
    )


class GenerationFields(Strict):
    text: FieldSpec
    target: FieldSpec
    keep: dict[Name, FieldSpec] = Field(default={}, description="columns that metrics need later, such as unit tests")


class GenerationTask(TaskBase):
    """A prompt and the text that should follow it."""

    kind: Literal["generation"]
    fields: GenerationFields
    filters: Filters = Filters()
    style: Literal["abstractive", "extractive", "bullets", "completion", "bugfix", "documentation", "query"]
    prompt: str = Field(description="template with one place, {text}")

    @field_validator("prompt")
    @classmethod
    def _one_place(cls, value: str) -> str:
        if template_places(value) != ["text"]:
            raise ValueError("prompt needs the one place {text}")
        return value


class PointsTask(TaskBase):
    """Labelled points in a plane or a space, made by a generator."""

    kind: Literal["points"]
    labels: list[str] = Field(default=["0", "1"], min_length=2)

    @model_validator(mode="after")
    def _points_are_made(self) -> PointsTask:
        if self.source.kind != "synthetic":
            raise ValueError("points come from a generator: the source's kind is synthetic")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in labels")
        return self


Task = Annotated[ClassificationTask | TaggingTask | GenerationTask | PointsTask, Field(discriminator="kind")]

# --- the recipe ---------------------------------------------------------------------------------


class DomainShift(Strict):
    """An episode kind: support from one task, query from another, same label names."""

    support: str
    query: str


class Recipe(Strict):
    """One YAML file: tasks that share a family, or a list of recipes to put together."""

    schema_version: Literal[1] = Field(alias="schema", description="of this file's format")
    name: Name
    version: str = Field(pattern=r"^[0-9]+-[A-Z]$", description="number: rebuilt tasks differ; letter: wording only")
    description: str
    family: Name | None = Field(default=None, description="one of recipes/families.yaml; a task may say its own")
    include: list[Name] = Field(default=[], description="recipes to put together")
    tasks: list[Task] = []
    episodes: EpisodeDefaults = EpisodeDefaults()
    domain_shift: list[DomainShift] = []
    counterpart: Name | None = Field(
        default=None, description="recipe whose tasks of the same family are built where the Hub cannot be reached"
    )
    allow_shared_sources: list[str] = Field(default=[], description="ORG/NAME[/CONFIG] that two families may both use")

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if bool(self.include) == bool(self.tasks):
            raise ValueError("a recipe has either tasks or include")
        for task in self.tasks:
            if not (task.family or self.family):
                raise ValueError(f"task {task.id!r} has no family, nor has the recipe")
        return self
