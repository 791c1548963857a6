"""The check of an action format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.filters import Condition, Filter, FilterTable
from rec_gym.loop.actions import Action, ActionFormat, make_action
from rec_gym.loop.actions.base import ORDER
from rec_gym.loop.prompts import Prompt
from rec_gym.loop.task import Task
from rec_gym.recommenders.trivial import RandomRecommender
from rec_gym.testing.base import ODD_TEXTS, attempt, pickled, require, small_dataset

_REQUEST = "something for the desk"
_CANDIDATES = ("red lamp", "blue desk", "oak chair")
_VALUES = {"request": _REQUEST, "query_language": "a bag of words", "candidates": "[1] red lamp"}


@dataclass(frozen=True)
class _Known:
    """A stand-in for what a dataset knows to be right."""

    query: str = "blue desk"
    titles: list[str] = field(default_factory=lambda: ["blue desk", "red lamp"])
    order: list[int] = field(default_factory=lambda: [1, 0, 2])
    constraints: list[Condition] = field(default_factory=lambda: [("price", "<=", 60.0)])


class _Ranks(RandomRecommender):
    """A recommender that finds ranks without a list, as BM25 does."""

    def rank_of(
        self,
        queries: Sequence[str],
        items: Ragged,
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Ragged:
        return self.rank(queries, k, exclude, filters).ranks_of(items)


def check_action_format(action_format: str | Mapping[str, object] | ActionFormat | type[ActionFormat]) -> None:
    """Checks that an action format keeps its promises.

    * `parse` never raises, whatever the text, and is deterministic; a completion that does not parse asks nothing.
    * `Action.counts` has a number per name in `counted`, or is empty where nothing was understood.
    * What is written and asked has at most `max_chars` characters, and what was cut is marked as clipped.
    * What `compose` writes for a query (or order) is parsed and asks it again; so does what `best` finds right.
    * The prompt renders, with `instruct` in it, for searches and for histories; candidates are listed as text.
    * A pickled copy is equal and parses the same.
    * In a small task its rankings are valid, and those of a batch are those of each completion alone; rewards
      are those of the rankings.
    * Filters are in completions only if it `writes_filters`. Bound to a catalogue, it is equal to itself and pickles, its
      filters fit the catalogue and are sorted, what `best` finds right is parsed with its filters, and they are applied.

    Args:
        action_format: as `action=` takes it, or a class whose options all have defaults.

    Raises:
        AssertionError: it breaks a promise; the message says which, and for which text.
        ValueError: no action format has that name, or an option is wrong.
    """
    if isinstance(action_format, type):
        action_format = action_format()
    checked = make_action(action_format)
    for text in ODD_TEXTS:
        _check_parse(checked, text)
    _check_clipping(checked)
    _check_round_trip(checked)
    _check_prompt(checked)
    copied = pickled(checked, f"the action format {checked.name!r}")
    require(copied == checked, f"a pickled copy of {checked!r} is not equal to it; make it a frozen dataclass")
    task = _check_rankings(checked)
    _check_filters(checked, task)


def _parse(action_format: ActionFormat, text: str) -> Action:
    what = f"parse({text[:60]!r})"
    action = attempt(what, action_format.parse, text, _REQUEST, _CANDIDATES)
    require(isinstance(action, Action), f"{what} must return an Action, not {type(action).__name__}")
    return action


def _check_parse(action_format: ActionFormat, text: str) -> None:
    action, what = _parse(action_format, text), f"parse({text[:60]!r})"
    require(action == _parse(action_format, text), f"{what} gives two different actions; it must be deterministic")
    for titles in ((), _CANDIDATES):
        attempt(f"{what} of an empty request", action_format.parse, text, "", titles)
    require(
        isinstance(action.parse, str) and action.parse, f"{what}: Action.parse must be a word, not {action.parse!r}"
    )
    require(
        action.ok or not action.query,
        f"{what} is not ok, and still asks {action.query!r}; use failed({action.parse!r})",
    )
    require(
        len(action.counts) in ((len(action_format.counted),) if action.asks else (0, len(action_format.counted))),
        f"{what} has the counts {action.counts}, but counted names {action_format.counted}; they must be the same at "
        "every parse",
    )
    most = action_format.max_chars
    longest = max((len(part) for part in (action.written, *action.questions)), default=0)
    require(longest <= most, f"{what} keeps {longest} characters, more than max_chars={most}; see asked()")
    if action.order:
        require(sorted(action.order) == list(range(len(_CANDIDATES))), f"{what}: an order holds every candidate once")


def _check_clipping(action_format: ActionFormat) -> None:
    long = "oak chair " * (action_format.max_chars // 5)
    completion = attempt("compose of a long query", action_format.compose, long, _REQUEST)
    _check_parse(action_format, completion)
    action = _parse(action_format, completion)
    require(
        not action.asks or action.clipped or len(completion) <= action_format.max_chars,
        f"a completion of {len(completion):,} characters was cut to max_chars={action_format.max_chars} and not marked as "
        "clipped",
    )


def _check_round_trip(action_format: ActionFormat) -> None:
    is_order = action_format.writes == ORDER
    query = "[2] > [1] > [3]" if is_order else "blue lamp"
    best = attempt("best(truth)", action_format.best, _Known())
    for asked, words in ((query, ["blue", "lamp"]), (best, ["blue", "desk"])):
        completion = attempt(f"compose({asked!r})", action_format.compose, asked, _REQUEST)
        require(isinstance(completion, str), f"compose({asked!r}) must return a text")
        action = _parse(action_format, completion)
        what = f"compose({asked!r}) wrote {completion[:200]!r}, which parses as {action.parse!r}"
        require(action.asks, f"{what} and asks nothing; compose must be the inverse of parse")
        if is_order:
            require(action.order[:2] == (1, 0), f"{what} to the order {action.order}")
        elif not action.clipped:
            text = " ".join(action.questions).casefold()
            require(all(word in text for word in words), f"{what} and asks {action.questions!r}")


def _check_prompt(action_format: ActionFormat) -> None:
    instruction = attempt("instruct()", action_format.instruct)
    require(isinstance(instruction, str), "instruct() must return a text")
    for is_history in (False, True):
        prompt = attempt("prompt()", action_format.prompt, is_history)
        require(isinstance(prompt, Prompt), f"prompt() must return a Prompt, not {type(prompt).__name__}")
        text = attempt("rendering the prompt", prompt.render, {**_VALUES, "instruction": instruction})
        require(_REQUEST in text, "the prompt does not show the request; write {request} in its user template")
        require(instruction in text, "the prompt does not show instruct(); write {instruction} in its user template")
    listed = attempt("list_candidates(titles)", action_format.list_candidates, _CANDIDATES)
    require(all(title in listed for title in _CANDIDATES), "list_candidates does not show every title")
    if action_format.needs_candidates:
        order = attempt("unchanged(3)", action_format.unchanged, 3).order
        require(order == (0, 1, 2), f"unchanged(3) must keep the order (0, 1, 2), not {order}")


def _check_filters(action_format: ActionFormat, task: Task) -> None:
    bound = task.action
    require(bound == action_format, f"bound_to must keep the options: {bound!r} is not equal to {action_format!r}")
    best = attempt("best(truth)", bound.best, _Known())
    texts = [*ODD_TEXTS, attempt(f"compose({best!r})", bound.compose, best, _REQUEST)]
    if not bound.writes_filters:
        filtered = [text for text in texts if _parse(bound, text).filters]
        require(not filtered, f"parse({filtered[:1]!r}) gives filters; say writes_filters = True")
        return
    require(bound.filter_columns, "filter_columns names no column of a catalogue with prices; see bound_to")
    for name in bound.filter_columns:
        require(name in bound.instruct(), f"instruct() does not name the column {name!r}, which may be filtered by")
    copied = pickled(bound, f"the action format {bound.name!r}, bound to a catalogue,")
    ranges = FilterTable.of(task.dataset.catalog).ranges
    for text in texts:
        action, what = _parse(bound, text), f"parse({text[:60]!r})"
        require(action == _parse(copied, text), f"{what} gives another action once the bound format was pickled")
        attempt(f"the filters {action.filters!r} of {what}", ranges, [action.filters])
        wanted = sorted(set(action.filters))
        require(list(action.filters) == wanted, f"{what}: filters must be sorted, each once, not {action.filters!r}")
    [known] = _Known().constraints
    filters = _parse(bound, texts[-1]).filters
    require(known in filters or known[0] not in bound.filter_columns, f"{texts[-1]!r} is parsed without {known}")
    outcomes = attempt("scoring a completion with filters", task.score, task.request_ids[:1], texts[-1:])
    ranked = outcomes.rankings.items[0]
    passing = ranges([filters]).passes(0, ranked[ranked >= 0])
    require(passing.all(), f"{texts[-1]!r} ranks items that do not pass its filters")


def _check_rankings(action_format: ActionFormat) -> Task:
    dataset = small_dataset()
    recommender = _Ranks().fit(dataset.catalog)
    candidates = {"k": 3} if action_format.needs_candidates else None
    task = attempt(
        "making a task", Task, dataset, recommender, reward="ndcg@5", action=action_format, candidates=candidates
    )
    queries = ["[2] > [1]"] if action_format.writes == ORDER else ["blue lamp", "red desk\noak rug", "oak"]
    completions = [*(action_format.compose(query, _REQUEST) for query in queries), "", "blue desk", "oak\nblue lamp"]
    ids = [name for name in task.request_ids for _ in completions]
    completions = completions * len(task)
    outcomes = attempt("scoring completions in a small task", task.score, ids, completions)
    rankings = outcomes.rankings
    attempt("checking the rankings of a small task", rankings.check, len(dataset.catalog))
    ranks = rankings.ranks_of(dataset.relevant.take(dataset.index.positions(ids))).values.tolist()
    require(
        outcomes.ranks.values.tolist() == ranks,
        f"rewards of {action_format.name!r} are not those of its rankings: leave needs_list out where rank() is your own",
    )
    for row, (request_id, completion) in enumerate(zip(ids, completions, strict=True)):
        alone = task.score([request_id], [completion])
        expected, actual = (part[part >= 0].tolist() for part in (alone.rankings.items[0], rankings.items[row]))
        what = f"the completion {completion!r} is ranked {actual} in a batch and {expected} alone"
        require(expected == actual and np.isclose(alone.rewards[0], outcomes.rewards[row]), what)
    return task
