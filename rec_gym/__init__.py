"""Gymnasium environments in which a language model is trained against a recommender's ranking measure.

Importing this package registers the environments and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rec_gym._version import __version__
from rec_gym.cards import (
    find_id,
    register_card,
    register_installed_cards,
    register_packaged_cards,
    unregister_card,
)
from rec_gym.making import make_task

if TYPE_CHECKING:
    from rec_gym import evaluation as evaluation
    from rec_gym import measures as measures
    from rec_gym import policies as policies
    from rec_gym import recommenders as recommenders
    from rec_gym import testing as testing
    from rec_gym.catalog import Catalog as Catalog
    from rec_gym.dataset import Dataset as Dataset
    from rec_gym.dataset import Request as Request
    from rec_gym.env import RecommenderEnv as RecommenderEnv
    from rec_gym.loop.actions import ActionFormat as ActionFormat
    from rec_gym.loop.actions import register_action as register_action
    from rec_gym.loop.episode import Episode as Episode
    from rec_gym.loop.outcomes import Outcomes as Outcomes
    from rec_gym.loop.papers import register_protocol as register_protocol
    from rec_gym.loop.prompts import register_prompt as register_prompt
    from rec_gym.loop.rewards import Transform as Transform
    from rec_gym.loop.rewards import register_term as register_term
    from rec_gym.loop.rewards import register_transform as register_transform
    from rec_gym.loop.settings import TaskSettings as TaskSettings
    from rec_gym.loop.task import Task as Task
    from rec_gym.measures import ListMeasure as ListMeasure
    from rec_gym.measures import RankMeasure as RankMeasure
    from rec_gym.measures import register_measure as register_measure
    from rec_gym.policies import register_policy as register_policy
    from rec_gym.ranking import Rankings as Rankings
    from rec_gym.recommenders import register_recommender as register_recommender
    from rec_gym.recommenders.base import Recommender as Recommender
    from rec_gym.recommenders.base import RecommenderError as RecommenderError
    from rec_gym.vector_env import RecommenderVectorEnv as RecommenderVectorEnv

# Loaded on first use: public classes by their modules, and public modules.
_LAZY = {
    "ActionFormat": "rec_gym.loop.actions",
    "Catalog": "rec_gym.catalog",
    "Dataset": "rec_gym.dataset",
    "Episode": "rec_gym.loop.episode",
    "ListMeasure": "rec_gym.measures",
    "Outcomes": "rec_gym.loop.outcomes",
    "RankMeasure": "rec_gym.measures",
    "Rankings": "rec_gym.ranking",
    "Recommender": "rec_gym.recommenders.base",
    "RecommenderEnv": "rec_gym.env",
    "RecommenderError": "rec_gym.recommenders.base",
    "RecommenderVectorEnv": "rec_gym.vector_env",
    "Request": "rec_gym.dataset",
    "Task": "rec_gym.loop.task",
    "TaskSettings": "rec_gym.loop.settings",
    "Transform": "rec_gym.loop.rewards",
    "register_action": "rec_gym.loop.actions",
    "register_measure": "rec_gym.measures",
    "register_policy": "rec_gym.policies",
    "register_prompt": "rec_gym.loop.prompts",
    "register_protocol": "rec_gym.loop.papers",
    "register_recommender": "rec_gym.recommenders",
    "register_term": "rec_gym.loop.rewards",
    "register_transform": "rec_gym.loop.rewards",
    "evaluation": "",
    "measures": "",
    "policies": "",
    "recommenders": "",
    "testing": "",
}

__all__ = [*_LAZY, "__version__", "find_id", "make_task", "register_card", "unregister_card"]

register_packaged_cards()
register_installed_cards()


def __getattr__(name: str) -> object:
    """Loads a public class or module on first use, so that the import itself stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'rec_gym' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name) if _LAZY[name] else import_module(f"rec_gym.{name}")


def __dir__() -> list[str]:
    """Names for completion, including those not loaded yet."""
    return sorted({*globals(), *__all__})
