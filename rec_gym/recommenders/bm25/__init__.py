"""BM25 at the speed of training: `BM25` ranks a catalogue for hundreds of completions at once.

The parts: `analyzer` (text to terms), `build` and `index` (terms to arrays on disk), `kernels` (arrays to rankings;
`compilation` compiles them at the first search), `recommender` (the whole).
"""

from rec_gym.recommenders.bm25.recommender import BM25

__all__ = ["BM25"]
