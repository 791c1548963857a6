"""Search engines as recommenders.

`base` is what all of them share, `remote` what those share that are asked over a connection; a custom one extends either.
Each engine is a file of its own.
"""

from rec_gym.recommenders.engines.base import Hits, Question, SearchEngine
from rec_gym.recommenders.engines.remote import RemoteEngine, UnavailableError

__all__ = ["Hits", "Question", "RemoteEngine", "SearchEngine", "UnavailableError"]
