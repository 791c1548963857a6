"""Human-readable rendering: a request, the query, and the ranking with the relevant items marked."""

from __future__ import annotations

from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.task import Task

SHOWN = 10


def render_request(task: Task, request_id: str) -> str:
    """A request as a shopper would state it, with its candidates if the task has any."""
    request = task.dataset.request(request_id)
    lines = [f"Request {request.id} ({request.split}{', ' + request.domain if request.domain else ''})", request.text]
    lines += [f"  must have {column} {sign} {value}" for column, sign, value in request.constraints]
    lines += [f"  searched only where {column} {sign} {value}" for column, sign, value in request.filters]
    if task.candidates is not None:
        [candidates] = task.candidates.of(task.dataset.index.positions([request_id]))
        lines += ["Candidates"]
        lines += [f"  [{number}] {title}" for number, title in enumerate(task.dataset.catalog.titles(candidates), 1)]
    return "\n".join(lines)


def render_outcome(task: Task, outcomes: Outcomes, place: int, shown: int = SHOWN) -> str:
    """The outcome of one completion.

    Args:
        task: the task that scored it.
        outcomes: the batch.
        place: the completion's place in the batch.
        shown: items of the ranking to list; relevant ones are marked with `*` and their gain.
    """
    request = task.dataset.request(outcomes.request_ids[place])
    lines = [f"{task.action.writes.capitalize()}: {outcomes.queries[place]!r} (parse: {outcomes.parse[place]})"]
    if outcomes.filters is not None:
        ignored = int(outcomes.text_stats.get("filters_ignored", [0] * (place + 1))[place])
        lines.append(f"Filters: {outcomes.filters[place] or 'none'}" + (f" ({ignored} ignored)" if ignored else ""))
    if outcomes.searched[place] != outcomes.queries[place]:
        lines.append(f"Searched: {outcomes.searched[place]}")
    items = outcomes.rankings.items[place]
    items = items[items >= 0]
    catalog = task.dataset.catalog
    top = items[:shown]
    for rank, (name, title) in enumerate(zip(catalog.ids(top), catalog.titles(top), strict=True), 1):
        gain = request.gains.get(name, 0.0)
        lines.append(f"{'*' if gain > 0 else ' '} {rank:>3}. {title}" + (f"  [gain {gain:g}]" if gain > 0 else ""))
    if len(items) == 0:
        lines.append("  (nothing was ranked)")
    ranks = outcomes.ranks[place]
    lines.append(f"Relevant items ranked: {(ranks >= 0).sum()} of {len(ranks)}, {len(items)} items ranked")
    lines += [f"{name}: {values[place]:.4f}" for name, values in outcomes.measures.items()]
    lines.append(f"reward: {outcomes.rewards[place]:.4f}")
    return "\n".join(lines)
