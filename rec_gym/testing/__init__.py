"""Checks of custom code, for its own tests.

Each says what is wrong and what to do, and returns nothing if all is right, as in
`rec_gym.testing.check_recommender(MyRecommender(), catalog)`.
"""

from rec_gym.testing.actions import check_action_format
from rec_gym.testing.data import check_card, check_loader
from rec_gym.testing.measures import check_measure
from rec_gym.testing.policies import check_policy
from rec_gym.testing.recommenders import check_recommender

__all__ = [
    "check_action_format",
    "check_card",
    "check_loader",
    "check_measure",
    "check_policy",
    "check_recommender",
]
