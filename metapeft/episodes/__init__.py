"""Episodes: sampled from a task distribution by number."""

from typing import TYPE_CHECKING, Any

from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler

if TYPE_CHECKING:
    from metapeft.episodes.curriculum import Curriculum, CurriculumSampler, Stage, read_curriculum

__all__ = ["Curriculum", "CurriculumSampler", "Episode", "EpisodeSampler", "Stage", "read_curriculum"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # pydantic, which takes as long to import as all the rest
        from metapeft.episodes import curriculum

        return getattr(curriculum, name)
    raise AttributeError(f"module 'metapeft.episodes' has no attribute '{name}'")
