"""Recommenders: black boxes that rank a catalogue for a query."""

from __future__ import annotations

from rec_gym.recommenders.base import Fits, FitsHistories, Recommender, RecommenderError
from rec_gym.recommenders.registry import (
    RECOMMENDERS,
    make_recommender,
    new_recommender,
    recommender_name,
    register_recommender,
)

__all__ = [
    "RECOMMENDERS",
    "Fits",
    "FitsHistories",
    "Recommender",
    "RecommenderError",
    "make_recommender",
    "new_recommender",
    "recommender_name",
    "register_recommender",
]
