"""Policies by name, and a user's own from a module or a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline, Policy
from rec_gym.policies.orders import FirstStage, GivenOrder
from rec_gym.policies.references import RM3, Oracle
from rec_gym.policies.simple import AppendText, HistoryTitles, RandomWords, Raw


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
            (found from the current folder too) or a path to a Python file. NAME is a function from rows to completions,
            or a class or factory that makes one: it is called with ARG where one is given. A class, or a function that
            takes no rows, is always called. Parameters named `task` and `seed` receive those.
        task: the task whose rows the policy will answer.
        seed: of policies that draw.

    Raises:
        ValueError: there is no such policy; the message lists the names there are.
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
        raise ValueError(f"unknown policy {spec!r}; there are: {_names()}")
    source, _, rest = spec.partition(":")
    attribute, given, argument = rest.partition(":")
    module = _load(source, spec)
    found = getattr(module, attribute, None)
    if not callable(found):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(f"{source} holds no callable {attribute!r}; there are: {', '.join(there) or 'none'}")
    return _made(found, spec, [argument] if given else [], task, seed)


def fitting_policies(task: Task) -> list[str]:
    """Names of the policies that can answer in a task's action format."""
    return [name for name, known in POLICIES.items() if task.action.writes in known.fits]


def _names() -> str:
    return ", ".join(name + known.argument for name, known in POLICIES.items()) + ", or MODULE_OR_FILE:NAME[:ARG]"


def _count(argument: str) -> int:
    try:
        return int(argument or 5)
    except ValueError:
        raise ValueError(f"random-words takes a number of words, not {argument!r}; write random-words:5") from None


def _made(found: Callable, spec: str, arguments: list[str], task: Task, seed: int) -> Policy:
    """The policy itself, from what a module holds under a name."""
    parameters = _parameters(found)
    named = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    taken = parameters[0].name if arguments and parameters else ""  # by the argument
    offered = {"task": task, "seed": seed}
    keywords = {name: value for name, value in offered.items() if name in named and name != taken}
    is_code = inspect.isclass(found) or inspect.isroutine(found)
    if not is_code and arguments:
        raise ValueError(f"{spec!r} names an object, which takes no argument; name a class or a function instead")
    takes_rows = any(
        p.name not in offered and p.kind is not p.KEYWORD_ONLY and p.kind is not p.VAR_KEYWORD for p in parameters
    )
    if not arguments and not inspect.isclass(found) and takes_rows:
        return partial(found, **keywords) if keywords else found
    try:
        inspect.signature(found).bind(*arguments, **keywords)
    except TypeError as error:
        given = "its argument" if arguments else "no argument"
        raise ValueError(f"{spec!r} cannot be called with {given}: {error}; write MODULE_OR_FILE:NAME[:ARG]") from error
    except ValueError:
        pass  # code that shows no signature is called as it is
    policy = found(*arguments, **keywords)
    if not callable(policy):
        raise ValueError(f"{spec!r} made a {type(policy).__name__}, which is not a callable from rows to completions")
    return policy


def _parameters(found: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(found).parameters.values())
    except ValueError:  # some built-in code shows none; it is taken for a policy
        return [inspect.Parameter("rows", inspect.Parameter.POSITIONAL_ONLY)]


def _load(source: str, spec: str) -> ModuleType:
    """A module from a file or a dotted name."""
    if source.endswith(".py") or "/" in source:
        return _load_file(Path(source).expanduser())
    with _importing_from(Path.cwd()):
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{source}.".startswith(f"{error.name}."):
                raise  # the module is there, and lacks something itself
            raise ValueError(
                f"unknown policy {spec!r}: there is no module {error.name!r}, and the names are: {_names()}"
            ) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}; a policy is written MODULE_OR_FILE:NAME[:ARG]")
    path = path.resolve()
    name = f"rec_gym_policy_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{str(path)!r} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickles and dataclasses of the file look it up
    with _importing_from(path.parent):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Lets modules of a folder be imported, after those that are installed."""
    entry: Any = str(folder)
    sys.path.append(entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
