"""Search engines as recommenders.

`base` is what all of them share, and what a custom one extends; each engine is a file of its own.
"""

from rec_gym.recommenders.engines.base import Hits, Question, SearchEngine

__all__ = ["Hits", "Question", "SearchEngine"]
