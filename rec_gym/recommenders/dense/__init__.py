"""Dense retrieval: items and queries as vectors, ranked by cosine.

The parts: `encoder` (text to vectors by a model; `hashing` without one), `vectors` (the items' vectors on disk), `exact`
and `approximate` (vectors to rankings), `recommender` (the whole).
"""

from rec_gym.recommenders.dense.encoder import Encoder
from rec_gym.recommenders.dense.hashing import HashingEncoder
from rec_gym.recommenders.dense.recommender import Dense

__all__ = ["Dense", "Encoder", "HashingEncoder"]
