import dataclasses

import pytest

from metapeft.errors import MetapeftError
from metapeft.tasks import TaskConfig, TaskError

FIELDS = ["task_id", "task_family", "num_classes", "input_dim", "support_size", "query_size", "domain", "difficulty"]


def test_fields_stand_in_the_agreed_order_and_may_be_named():
    assert [field.name for field in dataclasses.fields(TaskConfig)] == FIELDS
    values = ("a", "xor", 2, 3, 10, 20, "toys", 0.5)
    assert TaskConfig(*values) == TaskConfig(**dict(zip(FIELDS, values, strict=True)))


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TaskConfig("a", "xor", 2, 3, 10, 20, "toys", 0.5).task_id = "b"


@pytest.mark.parametrize(
    ("field", "value"),
    [("task_id", ""), ("task_family", 3), ("domain", None), ("num_classes", -1), ("num_classes", 2.0),
     ("input_dim", -1), ("input_dim", True), ("support_size", 0), ("query_size", "5"), ("difficulty", 1.1),
     ("difficulty", -0.1), ("difficulty", float("nan")), ("difficulty", "hard")],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value(field, value):
    values = {**dict(zip(FIELDS, ("a", "xor", 2, 3, 10, 20, "toys", 0.5), strict=True)), field: value}
    with pytest.raises(TaskError, match=field) as error:
        TaskConfig(**values)
    assert repr(value) in str(error.value)
    assert isinstance(error.value, MetapeftError)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(TaskError, match=r"num_classes.*query_size.*difficulty"):
        TaskConfig("a", "xor", -2, 3, 10, 0, "toys", 5)
