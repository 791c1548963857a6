"""Policies by name, and custom ones from a module or a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline, Policy
from rec_gym.policies.candidates import FirstStage, GivenOrder
from rec_gym.policies.filter_rule import FilterRule
from rec_gym.policies.learner import SavedWords
from rec_gym.policies.references import RM3, Oracle
from rec_gym.policies.request import AppendText, HistoryTitles, RandomWords, Raw
from rec_gym.registry import Registry
from rec_gym.resolving import Interface, check, has_method, lookup, makes, split_path, takes
from rec_gym.tables import unknown


class NamedPolicy(NamedTuple):
    """A policy that has a name.

    Attributes:
        make: called with the task, the argument (an empty text if there is none) and the seed.
        argument: how the argument is written in messages; empty if none is taken.
        summary: what it asks.
        fits: the action formats that it can answer in, by what they write (`ActionFormat.writes`); empty for all.
    """

    make: Callable[[Task, str, int], Policy]
    argument: str
    summary: str
    fits: tuple[str, ...] = Baseline.fits


_BUILT_IN: dict[str, NamedPolicy] = {
    "raw": NamedPolicy(lambda task, arg, seed: Raw(task), "", "the request's text"),
    "last-title": NamedPolicy(lambda task, arg, seed: HistoryTitles(task, 1), "", "the last title of the history"),
    "all-titles": NamedPolicy(lambda task, arg, seed: HistoryTitles(task), "", "the titles of the history"),
    "random-words": NamedPolicy(
        lambda task, arg, seed: RandomWords(task, _count(arg), seed), "[:COUNT]", "random words of the train requests"
    ),
    "append": NamedPolicy(lambda task, arg, seed: AppendText(task, arg), ":TEXT", "the request's text, then TEXT"),
    "filter-rule": NamedPolicy(
        lambda task, arg, seed: FilterRule(task),
        "",
        "the request's text, with filters that rules read out of its words",
    ),
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


_NAMED = Interface("a policy", lambda value: isinstance(value, NamedPolicy), "a NamedPolicy")
POLICIES: Registry[NamedPolicy] = Registry(_NAMED, _BUILT_IN)


def register_policy(name: str, policy: Any, summary: str = "", fits: tuple[str, ...] = ()) -> None:
    """Gives a custom policy a name, by which `make_policy` and `--policy` find it in this process.

    Args:
        name: lower-case letters, digits, `-` and `_`, beginning with a letter.
        policy: a function whose first parameter is `rows`, a class with `__call__(rows)`, or a function annotated
            `-> Policy`; see `make_policy`.
        summary: what it asks, in a few words; by default the first line of its docstring.
        fits: what its completions are, of what action formats write (`ActionFormat.writes`); by default the attribute
            `fits` of the policy, or else anything.

    Raises:
        ValueError: the name is taken or not of the right form, or the policy is something else.
    """
    check(policy, name, POLICY)

    def make(task: Task, argument: str, seed: int) -> Policy:
        return _from_code(policy, name, [argument] if argument else [], task, seed)

    described = summary or (inspect.getdoc(policy) or "a custom policy").partition("\n")[0]
    named = NamedPolicy(make, "[:ARG]", described, fits or tuple(getattr(policy, "fits", ())))
    POLICIES.register(name, named, source=policy)


def make_policy(spec: str, task: Task, *, seed: int = 0) -> Policy:
    """A policy from its name, or from custom code.

    Args:
        spec: a name (`raw`, `append:TEXT`, ...), or `MODULE_OR_FILE:NAME[:ARG]`. MODULE_OR_FILE is a dotted module
            (found from the current folder too) or a path to a Python file; it is imported, which runs its code. NAME is
            a function from `rows` to completions, whose first parameter is called `rows`, or makes a policy: a class
            with `__call__`, or a function annotated `-> Policy`. It is called with ARG if one is given.
            Parameters named `task` and `seed` receive those.
        task: the task whose rows the policy will answer.
        seed: for policies that draw.

    Raises:
        ValueError: unknown policy (the message lists the names), or NAME is something else; it is not called.
        FileNotFoundError: the file is missing.
    """
    name, colon, argument = spec.partition(":")
    if name in POLICIES:
        known = POLICIES[name]
        if argument and not known.argument:
            raise ValueError(f"the policy {name!r} takes no argument; write {name!r} alone")
        if not argument and known.argument.startswith(":"):
            raise ValueError(f"the policy {name!r} needs an argument; write {name}{known.argument}")
        if not _answers(known, task):
            raise ValueError(
                f"the policy {name!r} does not fit the action format {task.action.name!r}; those that do: "
                f"{', '.join(fitting_policies(task))}"
            )
        return known.make(task, argument, seed)
    if not colon:
        known_as = [name + known.argument for name, known in POLICIES.items()]
        raise ValueError(unknown("policy", spec, known_as, more="MODULE_OR_FILE:NAME[:ARG]"))
    source, attribute, argument_of_path = split_path(spec)
    code = lookup(source, attribute)
    check(code, f"{source}:{attribute}", POLICY)
    return _from_code(code, spec, [] if argument_of_path is None else [argument_of_path], task, seed)


def fitting_policies(task: Task) -> list[str]:
    """Names of the policies that can answer a task: in its action format, and from what its data hold."""
    return [name for name, known in POLICIES.items() if _answers(known, task) and _can_be_made(known, task)]


def _answers(known: NamedPolicy, task: Task) -> bool:
    return not known.fits or task.action.writes in known.fits


def _can_be_made(known: NamedPolicy, task: Task) -> bool:
    if known.argument.startswith(":"):
        return True  # what the argument names is not known here
    try:
        known.make(task, "", 0)
    except ValueError:  # the data lack what it needs, such as histories
        return False
    return True


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


def _from_code(code: Any, spec: str, arguments: list[str], task: Task, seed: int) -> Policy:
    """The policy, from the code that a module holds under a name."""
    try:
        parameters = [p for p in inspect.signature(code).parameters.values() if p.kind is not p.POSITIONAL_ONLY]
    except ValueError:  # code without a signature is called without keywords
        parameters = []
    names = [p.name for p in parameters]
    taken = names[:1] if arguments else []  # by the argument
    offered = {"task": task, "seed": seed}
    keywords = {name: value for name, value in offered.items() if name in names and name not in taken}
    if _is_policy(code):
        if arguments:
            raise ValueError(
                f"{spec!r} names a policy itself, which takes no argument; write it without {arguments[0]!r}"
            )
        return partial(code, **keywords) if keywords else code
    try:
        inspect.signature(code).bind(*arguments, **keywords)
    except TypeError as error:
        passed = "its argument" if arguments else "no argument"
        raise ValueError(
            f"{spec!r} cannot be called with {passed}: {error}; write MODULE_OR_FILE:NAME[:ARG]"
        ) from error
    except ValueError:
        pass
    policy = code(*arguments, **keywords)
    if not callable(policy):
        raise ValueError(
            f"{spec!r} returned a {type(policy).__name__}, which is not a callable from rows to completions"
        )
    return policy
