"""One task for many callers: what they score one by one is gathered into batches."""

from rec_gym.serving.gather import Gather
from rec_gym.serving.outcome import Outcome, Turn

__all__ = ["Gather", "Outcome", "Turn"]
