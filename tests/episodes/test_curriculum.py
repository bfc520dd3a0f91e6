import numpy as np
import pytest

from metapeft import strict_yaml
from metapeft.episodes import Curriculum, CurriculumSampler, EpisodeSampler, Stage, read_curriculum
from metapeft.errors import EpisodeError, RecipeError
from metapeft.tasks import Task, TaskDistribution
from tests.tasks.made_tasks import config, text_pool, text_task

TWO = """
stages:
  - {name: easy, steps: 10, difficulty: [0.0, 0.4], noise: [0.0, 0.1], families: {exclude: [far]}, shots: [3, 3]}
  - {name: last, held_out: true, families: {include: [far]}, shots: [1, 2]}
"""


def curriculum(text: str = TWO) -> Curriculum:
    return Curriculum.model_validate(strict_yaml.loads(text))


def task(task_id: str, family: str, difficulty: float = 0.2, noise: float = 0.0) -> Task:
    about = config(task_id, 2, family=family, difficulty=difficulty)
    return Task(about, support=text_pool([9, 9]), query=text_pool([9, 9]), noise=noise)


def test_the_shipped_curriculum_goes_from_easy_to_held_out():
    shipped = read_curriculum()
    assert [stage.name for stage in shipped.stages] == ["easy", "moderate", "hard", "held_out"]
    assert [stage.shots for stage in shipped.stages] == [[20, 20], [10, 10], [5, 5], [1, 3]]
    assert [stage.held_out for stage in shipped.stages] == [False, False, False, True]
    assert all(stage.difficulty[0] <= 0.5 <= stage.difficulty[1] for stage in shipped.stages)


@pytest.mark.parametrize(("step", "name"), [(0, "easy"), (9, "easy"), (10, "last"), (10**9, "last")])
def test_the_stage_of_a_step(step, name):
    assert curriculum().at(step).name == name


def test_a_last_stage_with_steps_goes_on():
    assert Curriculum(stages=[Stage(name="only", steps=3, shots=[1, 1])]).at(7).name == "only"


def test_steps_before_the_first():
    with pytest.raises(EpisodeError, match="-1"):
        curriculum().at(-1)


def test_a_stage_selects_by_family_difficulty_and_noise_with_both_ends():
    tasks = [
        task("in", "near", 0.4, 0.1),
        task("hard", "near", 0.41),
        task("noisy", "near", 0.2, 0.11),
        task("away", "far"),
    ]
    easy, last = curriculum().stages
    assert [t.config.task_id for t in easy.select(tasks)] == ["in"]
    assert [t.config.task_id for t in last.select(tasks)] == ["away"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("families: {exclude: [far]}, ", "", "stage 'easy' admits families that stage 'last' holds out: far"),
        ("exclude: [far]", "include: [near, far]", "holds out: far"),
        (", families: {include: [far]}", "", "must name its families"),
        ("[far]}, shots: [1", "[far], exclude: [far]}, shots: [1", "in include and in exclude: far"),
        ("steps: 10, ", "", "stage 'easy' needs steps"),
        ("steps: 10", "steps: 0", "stages.0.steps"),
        ("steps: 10", "step: 10", "stages.0.step"),
        ("name: last", "name: easy", "two stages have one name"),
        ("shots: [3, 3]", "shots: [3, 2]", r"stages.0.shots.*\[3, 2\]"),
        ("shots: [3, 3]", "shots: [0, 2]", "stages.0.shots.0"),
        ("shots: [3, 3]", "shots: [3]", "stages.0.shots"),
        ("difficulty: [0.0, 0.4]", "difficulty: [0.0, 1.4]", "stages.0.difficulty.1"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    assert old in TWO
    path = tmp_path / "mine.yaml"
    path.write_text(TWO.replace(old, new))
    with pytest.raises(RecipeError, match=message) as error:
        read_curriculum(path)
    assert "mine.yaml" in str(error.value)


def test_a_held_out_family_may_be_left_out_by_including_others():
    text = TWO.replace("families: {exclude: [far]}", "families: {include: [near]}")
    assert curriculum(text).stages[0].families.include == ["near"]


def test_episodes_follow_the_schedule():
    distribution = TaskDistribution([task("a", "near"), task("b", "near"), task("c", "far")])
    sampler = CurriculumSampler(distribution, curriculum(), query_size=6, seed=5, max_tokens=8)
    early, late = ([sampler.episode(step, i) for i in range(40)] for step in (3, 12))
    assert {e.task_id for e in early} == {"a", "b"}
    assert {len(e.support_y) for e in early} == {6}
    assert {e.task_id for e in late} == {"c"}
    assert {len(e.support_y) for e in late} == {2, 4}
    assert {e.query_x.shape for e in early} == {(6, 8)}


def test_an_episode_depends_on_step_and_index_alone():
    distribution = TaskDistribution([task("a", "near"), task("b", "far")])
    one, two = (CurriculumSampler(distribution, curriculum(), query_size=6) for _ in range(2))
    two.episode(20, 1)
    np.testing.assert_array_equal(one.episode(4, 7).support_x, two.episode(4, 7).support_x)
    assert isinstance(one.sampler(0), EpisodeSampler)
    assert one.sampler(0) is one.sampler(9)
    assert one.sampler(0) is not one.sampler(10)


def test_a_stage_without_tasks_is_an_error_at_once_and_a_held_out_one_when_it_is_reached():
    sampler = CurriculumSampler(TaskDistribution([task("a", "near")]), curriculum(), query_size=6)
    with pytest.raises(EpisodeError, match=r"'last' admits none of the 1 tasks.*far"):
        sampler.episode(10, 0)
    with pytest.raises(EpisodeError, match=r"'easy' admits none"):
        CurriculumSampler(TaskDistribution([text_task("t", difficulty=0.9)]), curriculum())
