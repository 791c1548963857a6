"""The check of a policy."""

from __future__ import annotations

import copy
from typing import Any

from rec_gym.loop.episode import Episode
from rec_gym.loop.task import Task
from rec_gym.policies import Policy, make_policy
from rec_gym.testing.base import attempt, require

_REQUESTS = 24


def check_policy(spec: str | Policy, task: Task) -> None:
    """Checks that a policy answers a task's requests as evaluation expects it.

    * It writes one text per row, and none for no row; the task can score them.
    * It is deterministic: again, and made again with the same seed, it writes the same.
    * What it writes for a row depends neither on the order of rows nor on the other rows.
    * It does not change the rows.

    A policy that samples on purpose passes if its draws depend on the seed and the request alone.

    Args:
        spec: as `make_policy` takes it, or the policy itself.
        task: whose rows it answers; the first 24 requests are asked.

    Raises:
        AssertionError: it breaks a promise; the message says which, and for which request.
        ValueError: no policy has that name, or it does not fit the task.
    """
    policy = make_policy(spec, task) if isinstance(spec, str) else spec
    require(callable(policy), f"a policy is called with rows; {type(policy).__name__} cannot be called")
    rows = task.rows_of([Episode(name) for name in task.request_ids[:_REQUESTS]])
    untouched = copy.deepcopy(rows)
    texts = _answer(policy, rows)
    require(rows == untouched, "the policy changed the rows that it was given; copy them first")
    _compare(rows, texts, _answer(policy, rows), "when it is asked again")
    if isinstance(spec, str):
        _compare(rows, texts, _answer(make_policy(spec, task), rows), "when it is made again with the same seed")
    _compare(rows, texts, _answer(policy, rows[::-1])[::-1], "when the rows are in another order")
    for row, text in list(zip(rows, texts, strict=True))[:4]:
        _compare([row], [text], _answer(policy, [row]), "when the row is alone")
    require(_answer(policy, []) == [], "the policy must write nothing for no row")
    attempt("scoring what the policy wrote", task.score, [row["request_id"] for row in rows], texts)


def _answer(policy: Policy, rows: list[dict[str, Any]]) -> list[str]:
    texts = attempt(f"the policy, called with {len(rows)} rows,", policy, rows)
    require(not isinstance(texts, str), "the policy returned one text; return a list with one text per row")
    texts = list(texts)
    require(len(texts) == len(rows), f"the policy wrote {len(texts)} texts for {len(rows)} rows; write one per row")
    wrong = [type(text).__name__ for text in texts if not isinstance(text, str)]
    require(not wrong, f"the policy wrote {wrong[:1]} where texts belong")
    return texts


def _compare(rows: list[dict[str, Any]], texts: list[str], others: list[str], when: str) -> None:
    for row, text, other in zip(rows, texts, others, strict=True):
        require(
            text == other,
            f"{when}, the policy writes {other[:80]!r} instead of {text[:80]!r} for the request {row['request_id']!r}; "
            "what it draws must depend on its seed and the request's id alone",
        )
