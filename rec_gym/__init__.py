"""Gymnasium environments in which a language model is trained against a recommender's ranking measure.

Importing this package registers the environments and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rec_gym._version import __version__
from rec_gym.cards import make_task, register_card, register_packaged_cards

if TYPE_CHECKING:
    from rec_gym.catalog import Catalog
    from rec_gym.dataset import Dataset, Request
    from rec_gym.env import RecommenderEnv
    from rec_gym.loop.episode import Episode, Outcomes
    from rec_gym.loop.task import Task
    from rec_gym.ranking import Rankings
    from rec_gym.recommenders.base import Recommender, RecommenderError
    from rec_gym.vector_env import RecommenderVectorEnv

_LAZY = {
    "Catalog": "rec_gym.catalog",
    "Dataset": "rec_gym.dataset",
    "Episode": "rec_gym.loop.episode",
    "Outcomes": "rec_gym.loop.episode",
    "Rankings": "rec_gym.ranking",
    "Recommender": "rec_gym.recommenders.base",
    "RecommenderEnv": "rec_gym.env",
    "RecommenderError": "rec_gym.recommenders.base",
    "RecommenderVectorEnv": "rec_gym.vector_env",
    "Request": "rec_gym.dataset",
    "Task": "rec_gym.loop.task",
}

__all__ = [
    "Catalog",
    "Dataset",
    "Episode",
    "Outcomes",
    "Rankings",
    "Recommender",
    "RecommenderEnv",
    "RecommenderError",
    "RecommenderVectorEnv",
    "Request",
    "Task",
    "__version__",
    "make_task",
    "register_card",
]

register_packaged_cards()


def __getattr__(name: str) -> object:
    """Loads a public class when it is first asked for, so that the import itself stays light."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rec_gym' has no attribute {name!r}")
