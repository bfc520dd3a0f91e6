"""Tasks: their descriptions, their rows, and distributions of them."""

from metapeft.tasks.config import TaskConfig, TaskError
from metapeft.tasks.distribution import TaskDistribution
from metapeft.tasks.generators import HighDimensionalTaskGenerator, LinearTaskGenerator, NonLinearTaskGenerator
from metapeft.tasks.pool import IGNORE, Kind, Pool, Ragged
from metapeft.tasks.task import Task

__all__ = [
    "IGNORE",
    "HighDimensionalTaskGenerator",
    "Kind",
    "LinearTaskGenerator",
    "NonLinearTaskGenerator",
    "Pool",
    "Ragged",
    "Task",
    "TaskConfig",
    "TaskDistribution",
    "TaskError",
]
