"""Gymnasium environments in which a language model is trained against a recommender's ranking measure.

Importing this package registers the environments and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rec_gym._version import __version__
from rec_gym.cards import register_card, register_packaged_cards
from rec_gym.making import make_task

if TYPE_CHECKING:
    from rec_gym import evaluation as evaluation
    from rec_gym import measures as measures
    from rec_gym import policies as policies
    from rec_gym import recommenders as recommenders
    from rec_gym.catalog import Catalog as Catalog
    from rec_gym.dataset import Dataset as Dataset
    from rec_gym.dataset import Request as Request
    from rec_gym.env import RecommenderEnv as RecommenderEnv
    from rec_gym.loop.episode import Episode as Episode
    from rec_gym.loop.outcomes import Outcomes as Outcomes
    from rec_gym.loop.task import Task as Task
    from rec_gym.ranking import Rankings as Rankings
    from rec_gym.recommenders.base import Recommender as Recommender
    from rec_gym.recommenders.base import RecommenderError as RecommenderError
    from rec_gym.vector_env import RecommenderVectorEnv as RecommenderVectorEnv

# Loaded on first use: public classes by their modules, and public modules.
_LAZY = {
    "Catalog": "rec_gym.catalog",
    "Dataset": "rec_gym.dataset",
    "Episode": "rec_gym.loop.episode",
    "Outcomes": "rec_gym.loop.outcomes",
    "Rankings": "rec_gym.ranking",
    "Recommender": "rec_gym.recommenders.base",
    "RecommenderEnv": "rec_gym.env",
    "RecommenderError": "rec_gym.recommenders.base",
    "RecommenderVectorEnv": "rec_gym.vector_env",
    "Request": "rec_gym.dataset",
    "Task": "rec_gym.loop.task",
    "evaluation": "",
    "measures": "",
    "policies": "",
    "recommenders": "",
}

__all__ = [*_LAZY, "__version__", "make_task", "register_card"]

register_packaged_cards()


def __getattr__(name: str) -> object:
    """Loads a public class or module on first use, so that the import itself stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'rec_gym' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name) if _LAZY[name] else import_module(f"rec_gym.{name}")


def __dir__() -> list[str]:
    """Names for completion, including those not loaded yet."""
    return sorted({*globals(), *__all__})
