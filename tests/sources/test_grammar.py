"""Synthetic text: determinism, pools, labels, difficulty, and that targets do what they say."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft import strict_yaml
from metapeft.errors import RecipeError
from metapeft.recipes.schema import Recipe, SyntheticSource, TaskBase
from metapeft.sources.grammar import GENERATORS, generate, labels, validate
from metapeft.sources.grammar.engine import Draw, Generator, Params, articles, distinct_rows, fill, sentence, typo
from metapeft.sources.grammar.sql import pseudo_word
from metapeft.sources.grammar.tagging_lexicon import NAMES

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe.model_validate(strict_yaml.load(ROOT / "recipes" / "synthetic_text.yaml"))
VARIANTS = [variant for task in RECIPE.tasks for variant in task.variants()]
EXAMPLES = {
    "sentiment": {"domain": "tweets", "classes": 3},
    "topic": {"style": "news"},
    "intent": {"domain": "banking"},
    "emotion": {"domain": "social"},
    "judgement": {"task": "stance"},
    "tagging": {"domain": "news"},
    "summarization": {"domain": "news", "style": "extractive"},
    "sql": {"tables": 2},
    "code_python": {"style": "bugfix"},
    "code_javascript": {"style": "completion"},
}


def source_of(task: TaskBase) -> SyntheticSource:
    assert isinstance(task.source, SyntheticSource)
    return task.source


CLASSIFICATION = [name for name, generator in GENERATORS.items() if generator.kind == "classification"]


def content(row: dict) -> str:
    return (" ".join(row["tokens"]) if "tokens" in row else row["text"]).lower()


@pytest.mark.parametrize("name", list(GENERATORS))
def test_rows_are_a_function_of_the_arguments_and_pools_share_no_text(name):
    params = EXAMPLES[name]
    support = generate(name, params, 400, 0, "support")
    assert support == generate(name, dict(params), 400, 0, "support")
    assert support != generate(name, params, 400, 1, "support")
    query = generate(name, params, 400, 0, "query")
    texts = [content(row) for row in support] + [content(row) for row in query]
    assert len(set(texts)) == 800


def test_rows_do_not_depend_on_the_hash_seed():
    program = (
        "import hashlib, json; from metapeft.sources.grammar import generate;"
        f"rows = [generate(name, params, 40, 3, 'query') for name, params in {EXAMPLES!r}.items()];"
        "print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,  # noqa: E501
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classes_are_balanced_in_random_order(name):
    names = labels(name, EXAMPLES[name])
    rows = generate(name, {**EXAMPLES[name], "label_noise": 0.0}, 40 * len(names), 0, "support")
    assert Counter(row["label"] for row in rows) == dict.fromkeys(names, 40)
    assert [row["label"] for row in rows[: len(names)]] != names
    assert all(row.keys() == {"text", "label"} for row in rows)


def test_label_noise_changes_that_share_of_labels():
    def negative(noise: float) -> float:
        params = {"task": "offensive", "difficulty": 0.0, "label_noise": noise}
        rows = generate("judgement", params, 1000, 0, "support")
        insults = ("junk", "clowns", "brick", "heap")  # the four commonest insults' words
        hits = [row["label"] for row in rows if any(word in row["text"].lower() for word in insults)]
        return hits.count("inoffensive") / len(hits)

    assert negative(0.0) == 0
    assert 0.2 < negative(0.3) < 0.4


def test_typed_parameters_and_nearest_names():
    for name, params in EXAMPLES.items():
        validate(name, params)
    for name, params, message in [
        ("sentimant", {}, "Did you mean 'sentiment'"),
        ("sentiment", {"domain": "book"}, "Did you mean 'books'"),
        ("sentiment", {"domain": "books", "dificulty": 0.1}, "Did you mean 'difficulty'"),
        ("sentiment", {"domain": "books", "difficulty": "0.1"}, "difficulty"),
        ("sentiment", {"domain": "books", "label_noise": 0.5}, "label_noise"),
        ("sentiment", {}, "domain"),
        ("topic", {"style": "ontology", "classes": 20}, "15 topics"),
        ("intent", {"domain": "travel", "classes": 16}, "15 intents"),
    ]:
        with pytest.raises(RecipeError, match=message):
            validate(name, params)


def test_both_mistakes_are_told_at_once():
    with pytest.raises(RecipeError, match="(?s)domain.*shots"):
        validate("sentiment", {"domain": "x", "shots": 3})


def test_asking_for_more_texts_than_there_are_is_an_error():
    def maker(params):
        return lambda draw, label: {"text": str(draw.below(20))}

    few = Generator("generation", Params, lambda params: [], maker)
    with pytest.raises(RecipeError, match="run out of different texts"):
        distinct_rows("few", few, Params(), 20, 0, "support")


def test_intents_of_all_domains():
    assert len(labels("intent", {"domain": "all"})) >= 60


def test_every_easy_generator_has_variety():
    for name in CLASSIFICATION:
        rows = generate(name, {**EXAMPLES[name], "difficulty": 0.0}, 1000, 0, "support")
        assert len({row["text"] for row in rows}) == 1000


@settings(max_examples=40, deadline=None)
@given(domain=st.sampled_from(sorted(NAMES)), difficulty=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_bio_tags_are_valid(domain, difficulty, seed):
    params = {"domain": domain, "difficulty": difficulty}
    rows = generate("tagging", params, 15, seed, "query")
    assert rows == generate("tagging", params, 15, seed, "query")
    types = set(labels("tagging", params))
    for row in rows:
        assert len(row["tokens"]) == len(row["tags"])
        before = "O"
        for token, tag in zip(row["tokens"], row["tags"], strict=True):
            assert token and not set(token) & set("{}[]<|") or token == ">"
            kind = tag[2:]
            assert tag == "O" or (tag[:2] in ("B-", "I-") and kind in types)
            assert not tag.startswith("I-") or before[2:] == kind
            before = tag


def test_hard_tagging_reuses_words_across_types():
    def ambiguous(difficulty: float) -> int:
        kinds: dict[str, set[str]] = {}
        for row in generate("tagging", {"domain": "news", "difficulty": difficulty}, 600, 0, "support"):
            for token, tag in zip(row["tokens"], row["tags"], strict=True):
                if tag.startswith("B-") and tag != "B-misc":
                    kinds.setdefault(token, set()).add(tag)
        return sum(len(tags) == 3 for tags in kinds.values())

    assert ambiguous(1.0) >= 20 > ambiguous(0.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), task=st.sampled_from(VARIANTS))
def test_no_place_or_alternative_is_left_unfilled(seed, task):
    source = source_of(task)
    if source.generator.startswith(("code", "sql")):
        return
    for row in generate(source.generator, source.params, 12, seed, "support"):
        text = content(row) + str(row.get("target", ""))
        assert not set(text) & set("{}[]|;") - {";"}
        assert "a(n)" not in text


def test_extractive_targets_stand_in_the_text_and_bullets_are_facts():
    for domain in ("news", "science", "dialogue"):
        for row in generate("summarization", {"domain": domain, "style": "extractive"}, 50, 0, "support"):
            flat = row["text"].replace("\n", " ")
            for part in row["target"].replace("? ", ".. ").split(". "):
                assert part.rstrip(".?") in flat
        for row in generate("summarization", {"domain": domain, "style": "bullets"}, 50, 0, "support"):
            for line in row["target"].splitlines():
                assert line.split(": ", 1)[1].lower() in row["text"].lower()


def test_harder_documents_have_more_that_does_not_matter():
    def sentences(difficulty: float) -> float:
        params = {"domain": "news", "style": "abstractive", "difficulty": difficulty}
        return sum(row["text"].count(". ") for row in generate("summarization", params, 50, 0, "support")) / 50

    assert sentences(1.0) > sentences(0.0) + 3


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_pseudo_words_are_names_that_sqlite_takes(seed):
    word = pseudo_word(Draw(seed))
    assert word.isalpha() and word.islower() and len(word) >= 4
    sqlite3.connect(":memory:").execute(f"CREATE TABLE t (id INTEGER, name TEXT, {word} TEXT)")


def test_every_row_of_an_invented_table_has_names_of_its_own():
    rows = generate("sql", {"domain": "invented", "difficulty": 0.5}, 100, 0, "support")
    tables = {row["schema"].split()[2] for row in rows}
    assert len(tables) == 100
    for row in rows:
        name = row["schema"].split()[2]
        assert f"FROM {name}" in row["target"] and name in row["text"]


@pytest.mark.parametrize("domain", ["any", "invented"])
@pytest.mark.parametrize("tables", [1, 2])
def test_sql_targets_run(tables, domain):
    found = 0
    kinds = set()
    for row in generate("sql", {"tables": tables, "domain": domain, "difficulty": 0.9}, 200, 0, "query"):
        base = sqlite3.connect(":memory:")
        base.executescript(row["schema"] + row["database"])
        found += any(value is not None for line in base.execute(row["target"]) for value in line)
        base.close()
        kinds |= {word for word in ("JOIN", "GROUP", "HAVING", "LIMIT", "AVG") if word in row["target"]}
    assert found > 100  # most questions have an answer in the little database
    assert {"GROUP", "HAVING", "LIMIT"} <= kinds
    assert ("JOIN" in kinds) == (tables == 2)


def passes(program: str, tests: str) -> bool:
    try:
        exec(program + "\n" + tests, {})
    except AssertionError:
        return False
    return True


def test_python_completions_pass_their_tests_and_bugs_fail_them():
    for row in generate("code_python", {"style": "completion", "difficulty": 1.0}, 300, 0, "support"):
        assert passes(row["text"] + row["target"], row["tests"]), row
    for row in generate("code_python", {"style": "bugfix", "difficulty": 1.0}, 300, 0, "support"):
        assert passes(row["target"], row["tests"]), row
        assert not passes(row["text"], row["tests"]), row


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_passes_its_tests_and_bugs_fail_them(tmp_path):
    right = [row["text"] + row["target"] + row["tests"]
             for row in generate("code_javascript", {"style": "completion", "difficulty": 1.0}, 150, 0, "support")]  # fmt: skip  # noqa: E501
    mended = generate("code_javascript", {"style": "bugfix", "difficulty": 1.0}, 150, 0, "support")
    right += [row["target"] + row["tests"] for row in mended]
    wrong = [row["text"] + row["tests"] for row in mended]
    script = tmp_path / "run.js"
    script.write_text(
        "const fails = code => { try { new Function(code)(); return false; } catch (e) { return true; } };\n"
        f"const right = {json.dumps(right)}, wrong = {json.dumps(wrong)};\n"
        "console.log(JSON.stringify([right.filter(fails), wrong.filter(code => !fails(code))]));"
    )
    out = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [[], []]


HARD_CASES = [
    ("sentiment", {"domain": "electronics"}),
    ("topic", {"style": "news", "classes": 5}),
    ("intent", {"domain": "banking", "classes": 5}),
    ("emotion", {"domain": "diary"}),
    ("judgement", {"task": "stance"}),
]


@pytest.mark.parametrize(("name", "params"), HARD_CASES)
def test_a_bag_of_words_finds_hard_texts_harder(name, params):
    pytest.importorskip("sklearn")
    from check_synthetic_text import accuracy

    easy, hard = (accuracy(name, {**params, "difficulty": value}, draws=2, query=200) for value in (0.0, 1.0))
    classes = len(labels(name, params))
    assert 1.02 / classes < hard < 0.9
    assert easy > hard + 0.05


def test_the_recipe_lists_the_labels_of_its_generators():
    assert {source_of(variant).generator for variant in VARIANTS} == set(GENERATORS)
    ids = [variant.id for variant in VARIANTS]
    assert len(set(ids)) == len(ids)
    for variant in VARIANTS:
        source = source_of(variant)
        validate(source.generator, source.params)
        assert getattr(variant, "labels", []) == labels(source.generator, source.params), variant.id
        assert source.params["difficulty"] == variant.difficulty
    for pair in RECIPE.domain_shift:
        assert {pair.support, pair.query} <= set(ids)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.text(alphabet="abcdefgh not", max_size=60))
def test_a_typo_leaves_short_words_whole(seed, text):
    before, after = text.split(" "), typo(Draw(seed), text).split(" ")
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1
    assert all(a == b for a, b in zip(before, after, strict=True) if len(a) < 5)


def test_articles_sentences_and_templates():
    assert articles("a(n) hour with a(n) user and a(n) egg") == "an hour with a user and an egg"
    assert sentence("so it goes") == "So it goes."
    assert fill(Draw(0), "{one} and [b|b]", {"one": "[a|a]"}) == "a and b"


@pytest.mark.parametrize("module", ["mlx", "sklearn", "datasets", "transformers"])
def test_the_package_is_light(module):
    program = f"import sys, metapeft.sources.grammar; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
