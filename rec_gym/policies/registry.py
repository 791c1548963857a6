"""Policies by name, and a user's own from a module or a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline, Policy
from rec_gym.policies.candidates import FirstStage, GivenOrder
from rec_gym.policies.learner import SavedWords
from rec_gym.policies.references import RM3, Oracle
from rec_gym.policies.request import AppendText, HistoryTitles, RandomWords, Raw
from rec_gym.resolving import Interface, check, has_method, lookup, makes, split_path, takes
from rec_gym.tables import unknown


class NamedPolicy(NamedTuple):
    """A policy that has a name.

    Attributes:
        make: called with the task, the argument (an empty text if there is none) and the seed.
        argument: how the argument is written in messages; empty if none is taken.
        summary: what it asks.
        fits: the action formats that it can answer in, by what they write (`Plain.writes`).
    """

    make: Callable[[Task, str, int], Policy]
    argument: str
    summary: str
    fits: tuple[str, ...] = Baseline.fits


POLICIES: dict[str, NamedPolicy] = {
    "raw": NamedPolicy(lambda task, arg, seed: Raw(task), "", "the request's text"),
    "last-title": NamedPolicy(lambda task, arg, seed: HistoryTitles(task, 1), "", "the last title of the history"),
    "all-titles": NamedPolicy(lambda task, arg, seed: HistoryTitles(task), "", "the titles of the history"),
    "random-words": NamedPolicy(
        lambda task, arg, seed: RandomWords(task, _count(arg), seed), "[:COUNT]", "random words of the train requests"
    ),
    "append": NamedPolicy(lambda task, arg, seed: AppendText(task, arg), ":TEXT", "the request's text, then TEXT"),
    "rm3": NamedPolicy(lambda task, arg, seed: RM3(task), "", "RM3 pseudo-relevance feedback; reads the catalogue"),
    "words": NamedPolicy(
        lambda task, arg, seed: SavedWords(task, arg), ":FILE.npz", "the words of a saved policy of `rec-gym train`"
    ),
    "given-order": NamedPolicy(
        lambda task, arg, seed: GivenOrder(task), "", "the candidates as given", GivenOrder.fits
    ),
    "first-stage": NamedPolicy(
        lambda task, arg, seed: FirstStage(task), "", "the candidates as the recommender ranks them", FirstStage.fits
    ),
    "oracle": NamedPolicy(
        lambda task, arg, seed: Oracle(task), "", "the right query, titles or order; knows the gains", Oracle.fits
    ),
}


def make_policy(spec: str, task: Task, *, seed: int = 0) -> Policy:
    """A policy from its name, or from a user's own code.

    Args:
        spec: a name (`raw`, `append:TEXT`, ...), or `MODULE_OR_FILE:NAME[:ARG]`. MODULE_OR_FILE is a dotted module
            (found from the current folder too) or a path to a Python file; it is imported, which runs its code. NAME is
            a function from `rows` to completions, whose first parameter has that name, or what makes a policy: a class
            with `__call__`, or a function annotated `-> Policy`. What makes one is called with ARG where one is given.
            Parameters named `task` and `seed` receive those.
        task: the task whose rows the policy will answer.
        seed: of policies that draw.

    Raises:
        ValueError: there is no such policy (the message lists the names), or NAME is something else; it is not called.
        FileNotFoundError: the file is missing.
    """
    name, colon, argument = spec.partition(":")
    if name in POLICIES:
        known = POLICIES[name]
        if argument and not known.argument:
            raise ValueError(f"the policy {name!r} takes no argument; write {name!r} alone")
        if not argument and known.argument.startswith(":"):
            raise ValueError(f"the policy {name!r} needs an argument; write {name}{known.argument}")
        if task.action.writes not in known.fits:
            raise ValueError(
                f"the policy {name!r} does not fit the action format {task.action.name!r}; those that do: "
                f"{', '.join(fitting_policies(task))}"
            )
        return known.make(task, argument, seed)
    if not colon:
        known_as = [name + known.argument for name, known in POLICIES.items()]
        raise ValueError(unknown("policy", spec, known_as, more="MODULE_OR_FILE:NAME[:ARG]"))
    source, attribute, given = split_path(spec)
    found = lookup(source, attribute)
    check(found, f"{source}:{attribute}", POLICY)
    return _made(found, spec, [] if given is None else [given], task, seed)


def fitting_policies(task: Task) -> list[str]:
    """Names of the policies that can answer in a task's action format."""
    return [name for name, known in POLICIES.items() if task.action.writes in known.fits]


def _count(argument: str) -> int:
    try:
        return int(argument or 5)
    except ValueError:
        raise ValueError(f"random-words takes a number of words, not {argument!r}; write random-words:5") from None


def _makes_policy(value: Any) -> bool:
    return makes(value, "__call__", "Policy")


def _is_policy(value: Any) -> bool:
    """Whether an object is a policy as it is: a function that takes rows, or an object that can be called."""
    is_code = inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, partial)
    return takes(value, "rows") if is_code else has_method(type(value), "__call__")


POLICY = Interface(
    "a policy",
    lambda value: _is_policy(value) or _makes_policy(value),
    "a function whose first parameter is `rows`, a class with __call__(rows), or a function annotated `-> Policy`",
)


def _made(found: Any, spec: str, arguments: list[str], task: Task, seed: int) -> Policy:
    """The policy itself, from what a module holds under a name."""
    try:
        parameters = [p for p in inspect.signature(found).parameters.values() if p.kind is not p.POSITIONAL_ONLY]
    except ValueError:  # code that shows no signature is called as it is
        parameters = []
    names = [p.name for p in parameters]
    taken = names[:1] if arguments else []  # by the argument
    offered = {"task": task, "seed": seed}
    keywords = {name: value for name, value in offered.items() if name in names and name not in taken}
    if _is_policy(found):
        if arguments:
            raise ValueError(
                f"{spec!r} names a policy itself, which takes no argument; write it without {arguments[0]!r}"
            )
        return partial(found, **keywords) if keywords else found
    try:
        inspect.signature(found).bind(*arguments, **keywords)
    except TypeError as error:
        given = "its argument" if arguments else "no argument"
        raise ValueError(f"{spec!r} cannot be called with {given}: {error}; write MODULE_OR_FILE:NAME[:ARG]") from error
    except ValueError:
        pass
    policy = found(*arguments, **keywords)
    if not callable(policy):
        raise ValueError(f"{spec!r} made a {type(policy).__name__}, which is not a callable from rows to completions")
    return policy
