"""The task: one function from completions to rewards, and everything that is needed around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from rec_gym.columns import Ragged, first_few
from rec_gym.dataset import ALL, TRAIN, Dataset
from rec_gym.loop.actions import Action, ActionFormat, make_action
from rec_gym.loop.actions.conditions import conditions_text
from rec_gym.loop.candidates import Candidates, CandidateSettings, make_candidates
from rec_gym.loop.constructors import argument_names, made_again, noting
from rec_gym.loop.engine import Engine, check_filters_items
from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes, spread_ranks
from rec_gym.loop.prompts import Prompt, in_a_sentence, make_prompt
from rec_gym.loop.rewards import Reward, cutoff_of, make_reward
from rec_gym.loop.search import Lists, Search
from rec_gym.loop.settings import Origin, TaskSettings, settings_of
from rec_gym.loop.text_stats import text_stats
from rec_gym.loop.turns import Turns
from rec_gym.loop.unscored import unscored_values
from rec_gym.measures import LIST, Judged, Listed, Measure
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import Recommender
from rec_gym.tables import check_arguments, unknown

OBSERVATIONS = ("request", "prompt")
_POSITIONAL = ("dataset", "recommender")


class Task:
    """One split of a dataset, a prompt, an action format, a recommender and a reward.

    Stateless, thread-safe and picklable: what changes is in the episodes.

    A subclass may override `score`: environments, adapters and evaluation call it for every completion, over several
    turns too, and `replace` makes tasks of the subclass by calling its constructor again. So what a subclass needs comes
    through its constructor, which takes `**settings` and hands them on, or from class attributes. Where it pays more or
    less than the reward does, it overrides `reward_range`.

    Args:
        dataset: the requests and their gains.
        recommender: the black box; fitted to `dataset.catalog`.
        split: the requests that may be scored; `all` is for evaluation.
        reward: a measure's name, a function that measures, or a table, see `rec_gym.loop.rewards`.
        measures: further measures to report beside those that the reward needs, by name or as functions.
        cutoffs: `{split: k}` that replaces the cut-off of the reward's measure; `default` for the other splits.
        action: an action format's name or a table, see `rec_gym.loop.actions`.
        candidates: a table of settings of the candidates that a completion puts into order, see
            `rec_gym.loop.candidates`; it goes with the action format `order`, and only with it.
        prompt: a prompt's name or a table of templates; by default what fits the requests and the action format.
        observation: `"request"` for the request's text (and its candidates), `"prompt"` for the rendered prompt.
        turns: maximum number of completions in an episode.
        turn_reward: `"gain"`, `"last"` or `"best"`, see `rec_gym.loop.turns`.
        feedback_k: titles that the policy sees of each earlier ranking.
        exclude_history: whether items of the request's own history are left out of the ranking.
        name: the registered id, for results.
        origin: what dataset and recommender were made of, for results; `make_task` states it.

    Raises:
        ValueError: a setting is of the wrong type, or names something unknown (near names are suggested); or the
            recommender is not fitted (`NotFittedError`), is fitted to another catalogue, reads histories that it does
            not get, or cannot filter although the requests or the action format ask for it.
        TypeError: the recommender has no `rank`.
    """

    def __init__(
        self,
        dataset: Dataset,
        recommender: Recommender,
        *,
        split: str = TRAIN,
        reward: str | Mapping[str, object] | Callable[..., np.ndarray] | Reward = "ndcg@100",
        measures: Sequence[str | Measure | Callable[..., np.ndarray]] = (),
        cutoffs: Mapping[str, int] | None = None,
        action: str | Mapping[str, object] | ActionFormat = "plain",
        candidates: Mapping[str, object] | CandidateSettings | None = None,
        prompt: str | Mapping[str, str] | Prompt | None = None,
        observation: str = "request",
        turns: int = 1,
        turn_reward: str = "gain",
        feedback_k: int = 5,
        exclude_history: bool = True,
        name: str = "",
        origin: Origin | None = None,
    ) -> None:
        arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        if not isinstance(recommender, Recommender):
            raise TypeError(f"a recommender needs rank() and query_language; {type(recommender).__name__} lacks them")
        check_arguments(Task, arguments, "a task")
        if observation not in OBSERVATIONS:
            raise ValueError(unknown("observation", observation, OBSERVATIONS))
        self.dataset, self.recommender, self.split, self.name = dataset, recommender, split, name
        self.origin, self.cutoffs = origin or Origin(), None if cutoffs is None else dict(cutoffs)
        self.rows_in_split = dataset.rows(split)
        self.reward = make_reward(reward, cutoff_of(cutoffs, split, dataset.splits))
        self.measures = tuple(dict.fromkeys([*self.reward.measures, *map(Measure.parse, measures)]))
        self.reward.check_ranges()
        for measure in self.measures:
            measure.check(dataset)
        self.action = make_action(action).bound_to(dataset.catalog)
        self.prompt = self.action.prompt(dataset.is_history) if prompt is None else make_prompt(prompt)
        self.observation, self.exclude_history = observation, exclude_history
        self.turns = Turns(turns, turn_reward, feedback_k)
        self.engine = Engine(recommender, dataset, exclude_history)
        if self.action.writes_filters:
            check_filters_items(recommender, f"completions of the format {self.action.name!r} hold filters")
        self.candidates = None if candidates is None else Candidates(make_candidates(candidates), self.engine)
        self._check_candidates()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = noting(cls.__init__, _POSITIONAL)  # type: ignore[method-assign]

    def __repr__(self) -> str:
        name = self.name or type(self.recommender).__name__
        return f"Task({name}, split={self.split!r}, reward={self.reward.measure}, {len(self):,} requests)"

    def __len__(self) -> int:
        return len(self.rows_in_split)

    def replace(self, **overrides: object) -> Self:
        """The same task with other settings; the fitted recommender is shared, and a subclass is kept.

        Cut-offs of the splits fall away with the reward that they belong to, unless they are given again.

        Raises:
            TypeError: there is no such setting, or a subclass's constructor does not take it.
        """
        known = argument_names(type(self), Task)
        for key in overrides:
            if key not in known:
                raise TypeError(f"a {type(self).__name__} has no such setting: {unknown('setting', key, known)}")
        if "origin" in known and overrides.keys() & {"dataset", "recommender"}:
            overrides.setdefault("origin", self._origin_without(overrides))
        if "reward" in overrides and "cutoffs" in known:
            overrides.setdefault("cutoffs", None)  # a reward that is named keeps the cut-off that stands in it
        made: Self = made_again(self, **overrides)
        if made.candidates is not None:
            made.candidates.share(self.candidates)
        return made

    @property
    def settings(self) -> TaskSettings:
        """Everything that makes the task, as plain data; `rec_gym.make_task` rebuilds the task from it."""
        return settings_of(self)

    @cached_property
    def depth(self) -> int:
        """Places of a ranking that any measure looks at; all candidates where there are some."""
        size = len(self.dataset.catalog)
        if self.candidates is not None:
            return min(size, self.candidates.settings.k)
        return min(size, max(size if measure.cutoff is None else measure.cutoff for measure in self.measures))

    @property
    def reward_range(self) -> tuple[float, float]:
        """The least and the greatest reward of one step, from measure, transforms, terms and turns."""
        return self.turns.reward_range(self.reward.range)

    @cached_property
    def request_ids(self) -> list[str]:
        """Ids of the requests in the split, in the dataset's order."""
        return self.dataset.column("id", self.rows_in_split).tolist()

    # The loop

    def score(self, request_ids: Sequence[str], completions: Sequence[str]) -> Outcomes:
        """Scores one completion for each request id: one turn, one batch, one recommender call.

        Args:
            request_ids: n ids of the split; an id may appear more than once.
            completions: n texts as the policy wrote them.

        Raises:
            ValueError: the two differ in number, or an id lies outside the split.
            KeyError: an id is unknown.
            TypeError: an id or a completion is not text, or one text was passed in place of a list.
            RecommenderError: the recommender failed; no reward is made up for it.
        """
        rows = self._rows(request_ids)
        if isinstance(completions, str):
            raise TypeError("completions are a list with one text per request: pass [completion], not the text itself")
        if len(rows) != len(completions):
            raise ValueError(f"{len(completions)} completions were given for {len(rows)} request ids")
        for completion in completions:
            if not isinstance(completion, str):
                raise TypeError(f"completions are texts, not {type(completion).__name__}; decode and unwrap them first")
        texts = self._texts(rows)
        offered = self._candidate_titles(rows)
        actions = [self.action.parse(*read) for read in zip(completions, texts, offered, strict=True)]
        written = [action.written for action in actions]
        stats = text_stats(written, texts) | self.reward.text_stats(written, texts)
        for place, name in enumerate(self.action.counted):
            stats[name] = np.array([a.counts[place] if a.counts else 0 for a in actions], np.float64)
        return self._outcomes(list(request_ids), rows, actions, stats)

    def start(self, request_ids: Sequence[str]) -> list[Episode]:
        """New episodes on requests of the split."""
        self._rows(request_ids)
        return [Episode(str(request_id)) for request_id in request_ids]

    def advance(
        self, episodes: Sequence[Episode], completions: Sequence[str]
    ) -> tuple[list[Episode], Outcomes, list[str]]:
        """One turn of each episode; the episodes that were given stay as they are.

        Returns:
            The episodes after the turn, the outcomes with the turn's rewards, and what the policy observes next.

        Raises:
            ValueError: an episode has ended. See also `score`.
        """
        ended = [episode.request_id for episode in episodes if episode.done]
        if ended:
            raise ValueError(f"episodes on {first_few(ended)} have ended; start new ones")
        stops = self.turns.stops(episodes, completions)
        outcomes = self._score_turn([episode.request_id for episode in episodes], completions, np.array(stops, bool))
        advanced, rewards = self.turns.after(episodes, outcomes, stops)
        return advanced, outcomes.with_rewards(rewards), self.observe(advanced)

    def observe(self, episodes: Sequence[Episode]) -> list[str]:
        """What the policy sees of each episode: the request with its history of turns, or the prompt around that."""
        values = self._prompt_values(episodes)
        if self.observation == "request":
            return ["\n\n".join(filter(None, (value["request"], value["candidates"]))) for value in values]
        return [self.prompt.render(value) for value in values]

    # Rows for trainers and policies

    def rows(self, batch_size: int = 1024) -> Iterator[dict]:
        """A row for each request of the split: `request_id`, `text`, `prompt`, `messages`, `domain`; never gains.

        In a task with candidates also `candidates` and `candidate_ids`, their titles and item ids in the given order.
        """
        ids = self.request_ids
        for start in range(0, len(ids), batch_size):
            yield from self.rows_of([Episode(name) for name in ids[start : start + batch_size]])

    def rows_of(self, episodes: Sequence[Episode]) -> list[dict]:
        """A row for each episode; its prompt and messages hold the turns so far."""
        rows = self._rows([episode.request_id for episode in episodes])
        domains = self.dataset.column("domain", rows)
        made = []
        for episode, text, values, domain in zip(
            episodes, self._texts(rows), self._prompt_values(episodes), domains, strict=True
        ):
            made.append(
                {
                    "request_id": episode.request_id,
                    "text": text,
                    "prompt": self.prompt.render(values),
                    "messages": self.prompt.messages(values),
                    "domain": domain,
                }
            )
        if self.candidates is not None:
            given = self.candidates.of(rows)
            for row, items, titles in zip(made, given, self.candidates.titles(given), strict=True):
                row |= {"candidates": titles, "candidate_ids": self.dataset.catalog.ids(items)}
        return made

    # Inside

    def _origin_without(self, replaced: Collection[str]) -> Origin:
        """The origin of a task whose dataset or recommender is an object that replaces what it was made of."""
        emptied: dict[str, Any] = {"loader": "", "options": {}} if "dataset" in replaced else {}
        if "recommender" in replaced:
            emptied["recommender"] = {}
        return replace(self.origin, **emptied)

    def _score_turn(self, request_ids: list[str], completions: Sequence[str], stops: np.ndarray) -> Outcomes:
        """`score`, but that the completions marked in `stops` end their episode and ask nothing."""
        if not stops.any():
            return self._checked(self.score(request_ids, completions), len(request_ids))
        asking = np.flatnonzero(~stops).tolist()
        # Called even where all stop, so that the outcomes have the same columns at every turn.
        outcomes = self.score([request_ids[i] for i in asking], [completions[i] for i in asking])
        rows = self._rows(request_ids)
        unscored = unscored_values(self.measures, self.dataset, rows[stops])
        stopped = {str(measure): column for measure, column in unscored.items()}
        relevant = self.dataset.relevant.take(rows)
        return self._checked(outcomes, len(asking)).with_stops(request_ids, stops, relevant, stopped)

    def _checked(self, outcomes: Outcomes, count: int) -> Outcomes:
        """What `score` returned, which a subclass may have written."""
        if isinstance(outcomes, Outcomes) and len(outcomes) == len(outcomes.rewards) == count:
            return outcomes
        what = f"Outcomes of {len(outcomes)}" if isinstance(outcomes, Outcomes) else type(outcomes).__name__
        raise TypeError(f"{type(self).__name__}.score must return Outcomes of {count} completions, not {what}")

    def _rows(self, request_ids: Sequence[str]) -> np.ndarray:
        if isinstance(request_ids, str):
            raise TypeError(f"request ids are a list: pass [{request_ids!r}], not the text itself")
        for request_id in request_ids:
            if not isinstance(request_id, str):
                raise TypeError(f"request ids are text, not {request_id!r}; positions do not name requests here")
        rows = self.dataset.index.positions(request_ids)
        if self.split != ALL:
            outside = self.dataset.column("split", rows) != self.split
            if outside.any():
                names = first_few(np.asarray(request_ids, object)[outside].tolist())
                raise ValueError(
                    f"requests {names} are not in split {self.split!r}; make the task with the split that you mean"
                )
        return rows

    def _texts(self, rows: np.ndarray) -> list[str]:
        """Texts of the requests; the samples of a group are looked up once."""
        unique, inverse = np.unique(rows, return_inverse=True)
        texts = self.dataset.texts(unique)
        return [texts[i] for i in inverse]

    def _candidate_titles(self, rows: np.ndarray) -> list[list[str]]:
        """Titles of each request's candidates as they are given; the samples of a group are looked up once."""
        if self.candidates is None:
            return [[]] * len(rows)
        unique, inverse = np.unique(rows, return_inverse=True)
        titles = self.candidates.titles(self.candidates.of(unique))
        return [titles[i] for i in inverse]

    def _prompt_values(self, episodes: Sequence[Episode]) -> list[dict[str, str]]:
        """What the templates of the prompt are filled with, for each episode."""
        rows = self._rows([episode.request_id for episode in episodes])
        values = []
        for episode, text, titles in zip(episodes, self._texts(rows), self._candidate_titles(rows), strict=True):
            situation = self.turns.describe(self.dataset.catalog, episode, text, self.action.filter_columns)
            offered = self.action.list_candidates(titles) or "(no candidates)" if self.action.needs_candidates else ""
            values.append(
                {
                    "request": situation,
                    "query_language": in_a_sentence(self.recommender.query_language),
                    "instruction": self.action.instruct(),
                    "candidates": offered,
                }
            )
        return values

    def _check_candidates(self) -> None:
        name, wanted = self.action.name, self.action.needs_candidates
        if wanted and self.candidates is None:
            raise ValueError(f"the action format {name!r} needs candidates, such as candidates={{'k': 20}}")
        if self.candidates is not None and not wanted:
            raise ValueError(f"candidates are put into order with action='order', not {name!r}")
        if self.candidates is not None and self.turns.limit > 1:
            raise ValueError("a task with candidates has one turn: an order shows the policy nothing new")
        if self.reward.compares and self.candidates is None:
            raise ValueError("only_if_improved compares with the given order of candidates; this task has none")

    def _outcomes(
        self, request_ids: list[str], rows: np.ndarray, actions: list[Action], stats: dict[str, np.ndarray]
    ) -> Outcomes:
        scored = np.array([action.asks for action in actions], bool)
        asked = np.flatnonzero(scored)
        queries = [action.query for action in actions]
        search = self._search(rows[asked], [actions[i] for i in asked])
        ranks, rankings = search.ranks()
        values = self._measure(rows[asked], ranks, rankings, asked, len(rows))
        if not scored.all():
            for measure, column in unscored_values(self.measures, self.dataset, rows[~scored]).items():
                values[measure][~scored] = column
        parse_ok = np.array([action.ok for action in actions], bool)
        given = self._measure_given(rows) if self.reward.compares else None
        rewards, terms = self.reward(values, stats, parse_ok, scored, given)
        clipped = np.array([action.clipped for action in actions], bool)
        clipped[asked] |= search.clipped(rankings)
        return Outcomes(
            request_ids=request_ids,
            queries=queries,
            parse=[action.parse for action in actions],
            parse_ok=parse_ok,
            clipped=clipped,
            scored=scored,
            rewards=rewards,
            measures={str(measure): value for measure, value in values.items()},
            terms=terms,
            text_stats=stats,
            ranks=spread_ranks(ranks, asked, self.dataset.relevant.take(rows)),
            filters=[conditions_text(a.filters) for a in actions] if self.action.writes_filters else None,
            _lists=Lists(search, rankings, asked, len(rows)),
        )

    def _measure(
        self, rows: np.ndarray, ranks: Ragged, rankings: Rankings | None, places: np.ndarray, size: int
    ) -> dict[Measure, np.ndarray]:
        """Every measure of the task; 0 at the places that were not asked."""
        gains = self.dataset.relevant_gains.take(rows)
        ideal = self.dataset.ideal_gains.take(rows)
        if self.candidates is not None and self.candidates.settings.ideal == "candidates":
            offered = ranks.values != NOT_RANKED  # an order holds every candidate, so what it lacks was not offered
            ranks, gains = ranks.where(offered), gains.where(offered)
            ideal = gains.with_values(gains.values[np.lexsort((-gains.values, gains.row_of))])
        judged = Judged(ranks, gains, ideal)
        if rankings is not None:
            judged = Listed(ranks, gains, ideal, rankings.lengths, rankings=rankings, dataset=self.dataset, rows=rows)
        values = {measure: np.zeros(size) for measure in self.measures}
        for measure, column in values.items():
            column[places] = measure(judged)
        return values

    def _search(self, rows: np.ndarray, actions: list[Action]) -> Search:
        needs_list = any(measure.needs == LIST for measure in self.measures)
        return Search(self.engine, self.action, self.candidates, self.depth, needs_list, rows, actions)

    def _measure_given(self, rows: np.ndarray) -> np.ndarray:
        """The reward's measure of the candidates in the order in which they are given."""
        assert self.candidates is not None
        distinct, inverse = np.unique(rows, return_inverse=True)
        given = self.candidates.of(distinct)
        actions = [self.action.unchanged(len(items)) for items in given]
        ranks, rankings = self._search(distinct, actions).ranks()
        places = np.arange(len(distinct))
        return self._measure(distinct, ranks, rankings, places, len(distinct))[self.reward.measure][inverse]


Task.__init__ = noting(Task.__init__, _POSITIONAL)  # type: ignore[method-assign]
