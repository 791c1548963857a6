"""From the actions of a batch to its rankings: one query, several queries merged, or an order of candidates."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.filters import Filter
from rec_gym.loop.actions.base import Action, ActionFormat
from rec_gym.loop.candidates import Candidates
from rec_gym.loop.engine import Engine
from rec_gym.ranking import NOT_RANKED, Rankings


class Search:
    """What the actions of one batch rank: the recommender is called once, and identical questions are asked once.

    Args:
        engine: the recommender, as the task asks it.
        action_format: how rankings come about, see `ActionFormat.rank`.
        candidates: the candidate lists of the requests, where the task has some.
        depth: places of a ranking that are looked at.
        needs_list: whether a measure looks at the list itself.
        rows: the request of each action.
        actions: those that ask (`Action.asks`).
    """

    def __init__(
        self,
        engine: Engine,
        action_format: ActionFormat,
        candidates: Candidates | None,
        depth: int,
        needs_list: bool,
        rows: np.ndarray,
        actions: Sequence[Action],
    ) -> None:
        self.engine, self.format, self.depth = engine, action_format, depth
        self.rows = rows
        self.actions: Sequence[Action] = actions
        self._candidates = candidates
        self.needs_list = action_format.needs_list or needs_list or not engine.ranks_items

    def ranks(self) -> tuple[Ragged, Rankings | None]:
        """Ranks of the relevant items of each action's request, and the rankings if a list had to be made for them."""
        relevant = self.engine.dataset.relevant
        if self.needs_list:
            rankings = self.rankings()
            return rankings.ranks_of(relevant.take(self.rows)), rankings
        queries, rows, written, places = self._questions(
            by_row=True
        )  # ranks are those of a request's own relevant items
        inverse = places[0]
        return self.engine.rank_of(queries, rows, relevant.take(rows), self.depth, written).take(inverse), None

    @property
    def most(self) -> int:
        """Places that a ranking can have."""
        return self.depth if self._candidates is not None else len(self.engine.dataset.catalog)

    def rankings(self, k: int = 0) -> Rankings:
        """The rankings of all actions to depth k, by default the task's."""
        return self.format.rank(self, k or self.depth)

    def ask(self, k: int) -> Rankings:
        """The top k of the first question of each action; see `Asking.ask`."""
        found, places = self._asked(k)
        return found.take(places[0])

    def ask_each(self, k: int) -> Iterator[tuple[np.ndarray, list[Rankings]]]:
        """The top k of all questions; see `Asking.ask_each`."""
        found, places = self._asked(k)
        counts = (np.stack(places) >= 0).sum(axis=0)
        for count in np.unique(counts).tolist():
            here = np.flatnonzero(counts == count)
            yield here, [found.take(places[turn][here]) for turn in range(count)]

    def candidates(self) -> list[np.ndarray]:
        """The candidates of each action's request; see `Asking.candidates`."""
        if self._candidates is None:
            raise ValueError(f"the action format {self.format.name!r} asks for candidates, and this task has none")
        return self._candidates.of(self.rows)

    def clipped(self, rankings: Rankings | None) -> np.ndarray:
        """Of which actions the recommender used a part only, bool [n].

        Args:
            rankings: those of the actions; None where ranks were had without them, and the recommender is asked.
        """
        if rankings is None:
            queries, _, _, places = self._questions(by_row=False)
            return self.engine.clips(queries)[places[0]]
        return np.zeros(len(self.actions), bool) if rankings.clipped is None else rankings.clipped

    def searched(self) -> list[str]:
        """What the engine searched for in each action; a line for each question, an order as it is."""
        words = iter(self.engine.searched([query for action in self.actions for query in action.questions]))
        return [
            action.query if action.order else "\n".join(next(words) for _ in action.questions)
            for action in self.actions
        ]

    def _questions(self, by_row: bool) -> tuple[list[str], np.ndarray, list[Filter], list[np.ndarray]]:
        """The distinct questions of the batch: a query with other filters is another question.

        Args:
            by_row: whether the same query of another request is another question.

        Returns:
            Their texts; the request at whose row each is asked; the filters in its action; and as many arrays as any action
            has questions, which hold for each action the place of its first, second, ... question among them, or -1 for
            none.
        """
        seen: dict[tuple[str, int, Filter], int] = {}
        rows: list[int] = []
        most = max((len(action.questions) for action in self.actions), default=1)
        places = [np.full(len(self.actions), -1, np.int64) for _ in range(most)]
        for number, (action, row) in enumerate(zip(self.actions, self.rows.tolist(), strict=True)):
            for turn, query in enumerate(action.questions):
                key = (query, row if by_row else -1, action.filters)
                if key not in seen:
                    seen[key] = len(seen)
                    rows.append(row)
                places[turn][number] = seen[key]
        written = [filters for _, _, filters in seen]
        return [query for query, _, _ in seen], np.array(rows, np.int64), written, places

    def _asked(self, k: int) -> tuple[Rankings, list[np.ndarray]]:
        """The rankings of the distinct questions, and where those of each action are among them."""
        queries, rows, written, places = self._questions(by_row=self.engine.by_request)
        return self.engine.rank(queries, rows, min(k, len(self.engine.dataset.catalog)), written), places


class Lists:
    """The rankings behind outcomes, made when somebody looks at them.

    A pickle holds what was made before it, and neither the recommender nor the dataset.

    Args:
        search: the search of the completions that asked.
        known: their rankings, if the measures needed them.
        places: where those completions stand in the batch.
        size: completions in the batch.
    """

    def __init__(self, search: Search, known: Rankings | None, places: np.ndarray, size: int) -> None:
        self._search: Search | None = search
        self._known, self._depth = known, search.depth
        self._most = search.most
        self._places, self._size = places, size
        self._words: list[str] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_search": None}

    def among(self, places: np.ndarray, size: int) -> Lists:
        """The same lists in a larger batch of `size` completions, of which these stand at `places`."""
        lists = copy.copy(self)
        lists._search = self._search  # a copy is no pickle
        lists._places, lists._size = places[self._places], size
        return lists

    def rankings(self, k: int = 0) -> Rankings:
        """Rankings of all completions, to depth k or the task's; those that were not asked are empty.

        Raises:
            RuntimeError: they were not made before these outcomes were pickled.
        """
        k = min(k, self._most)
        if k > self._depth or (k and self._known is None):
            return self._spread(self._machine(f"rankings to depth {k}").rankings(k))
        if self._known is None:
            self._known = self._machine("rankings").rankings()
        return self._spread(self._known)

    def searched(self) -> list[str]:
        """What the engine searched for, for all completions.

        Raises:
            RuntimeError: nobody had asked for it before these outcomes were pickled.
        """
        if self._words is None:
            self._words = self._machine("searched words").searched()
        spread = [""] * self._size
        for place, words in zip(self._places.tolist(), self._words, strict=True):
            spread[place] = words
        return spread

    def _machine(self, what: str) -> Search:
        if self._search is None:
            raise RuntimeError(
                f"these outcomes were pickled without their {what}: a pickle holds what was looked at before; look at "
                "`rankings`, or `searched`, before pickling, or score the completions again"
            )
        return self._search

    def _spread(self, rankings: Rankings) -> Rankings:
        items = np.full((self._size, rankings.depth), NOT_RANKED, np.int32)
        scores = np.zeros((self._size, rankings.depth), np.float32)
        items[self._places], scores[self._places] = rankings.items, rankings.scores
        clipped = np.zeros(self._size, bool)
        clipped[self._places] = False if rankings.clipped is None else rankings.clipped
        return Rankings(items, scores, clipped)
