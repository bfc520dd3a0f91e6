import numpy as np
import pytest

from metapeft.errors import RecipeError
from metapeft.tasks import HighDimensionalTaskGenerator, LinearTaskGenerator, NonLinearTaskGenerator, TaskError


def test_a_linear_task_has_the_boundary_that_rotation_and_translation_say():
    task = LinearTaskGenerator(input_dim=2).generate_task(rotation=90, translation=(3.0, -1.0))
    np.testing.assert_array_equal(task.support.y, (task.support.x[:, 1] > -1.0).astype(np.int32))
    assert abs(task.support.x[:, 0].mean() - 3.0) < 0.1


def test_scaling_moves_points_outward():
    small, large = (LinearTaskGenerator(3).generate_task(0, 0, scaling=s).support.x.std() for s in (1, 4))
    assert 3.5 < large / small < 4.5


@pytest.mark.parametrize("pattern", ["xor", "circles", "spirals", "checkerboard"])
def test_a_nonlinear_task_is_learnable_but_not_by_a_line(pattern):
    task = NonLinearTaskGenerator(pattern).generate_task(0.0)
    x, y, held_x, held_y = task.support.x, task.support.y, task.query.x, task.query.y
    nearest = ((held_x[:, None] - x[None]) ** 2).sum(-1).argmin(1)
    line = np.linalg.lstsq(np.c_[x, np.ones(len(x))], 2.0 * y - 1, rcond=None)[0]
    assert (y[nearest] == held_y).mean() > 0.9
    assert ((np.c_[held_x, np.ones(len(held_x))] @ line > 0) == held_y).mean() < 0.75


def test_noise_and_complexity_reach_the_generator():
    make = NonLinearTaskGenerator("checkerboard").generate_task
    task = make(0.25, complexity=6)
    assert task.noise == 0.25
    assert task.pattern.params == {"input_dim": 2, "noise": 0.25, "complexity": 6}


def test_only_a_few_of_many_coordinates_carry_the_label():
    task = HighDimensionalTaskGenerator().generate_task(noise=0.0)
    x, y = task.support.x, task.support.y
    apart = np.abs(x[y == 1].mean(0) - x[y == 0].mean(0))
    assert x.shape == (1024, 100)
    assert (apart > 1.0).sum() == 5


def test_equal_arguments_give_equal_tasks_and_others_other_ones():
    make = NonLinearTaskGenerator("xor").generate_task
    one, same, other = make(0.1), make(0.1), make(0.1, seed=1)
    assert one.config == same.config
    np.testing.assert_array_equal(one.support.x, same.support.x)
    assert one.config.task_id != other.config.task_id
    assert not np.array_equal(one.support.x, other.support.x)


def test_mistakes_are_named():
    with pytest.raises(TaskError, match="Did you mean 'spirals'"):
        NonLinearTaskGenerator("spiral")
    with pytest.raises(TaskError, match="no pattern 'linear'"):
        NonLinearTaskGenerator("linear")
    with pytest.raises(RecipeError, match="translation has 3 numbers"):
        LinearTaskGenerator(2).generate_task(0, [1, 2, 3])
    with pytest.raises(RecipeError, match="noise"):
        NonLinearTaskGenerator("xor").generate_task(-1)
