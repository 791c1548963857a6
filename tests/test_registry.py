"""The registries: what they find, what they refuse, and that they are all alike."""

import sys
from types import ModuleType

import pytest
from helpers import custom_code as custom
from helpers.registries import keep

import rec_gym
from rec_gym.loop.actions import ACTIONS
from rec_gym.loop.papers import PROTOCOLS
from rec_gym.loop.prompts import PROMPTS, Prompt
from rec_gym.loop.terms import TERMS
from rec_gym.loop.transforms import TRANSFORMS
from rec_gym.measures import MEASURES
from rec_gym.policies.registry import POLICIES
from rec_gym.recommenders import RECOMMENDERS
from rec_gym.registry import Registry
from rec_gym.resolving import Interface

# For each kind: its registry, how a name is given, and an entry of the module of custom code.
KINDS = {
    "action": (ACTIONS, rec_gym.register_action, custom.Pair),
    "measure": (MEASURES, rec_gym.register_measure, custom.found_any),
    "policy": (POLICIES, rec_gym.register_policy, custom.shout),
    "prompt": (PROMPTS, rec_gym.register_prompt, custom.SHORT),
    "protocol": (PROTOCOLS, rec_gym.register_protocol, custom.terse),
    "recommender": (RECOMMENDERS, rec_gym.register_recommender, custom.Overlap),
    "term": (TERMS, rec_gym.register_term, custom.few_words),
    "transform": (TRANSFORMS, rec_gym.register_transform, custom.Power),
}
PATHS = ("helpers.custom_code", custom.__file__)
CELL = {
    "action": "class Mine(rec_gym.loop.actions.Plain):\n    number = {n}\n",
    "measure": "def Mine(judged, cutoff, number={n}):\n    return judged\n",
    "policy": "def Mine(rows, number={n}):\n    return []\n",
    "protocol": "def Mine(is_history, orders, number={n}):\n    return {{}}\n",
    "recommender": "class Mine:\n    number, query_language = {n}, 'any'\n    def rank(self, queries, k, exclude=None): ...\n",
    "term": "def Mine(written, requests, number={n}):\n    return []\n",
    "transform": (
        "class Mine(rec_gym.Transform):\n    number = {n}\n    def __call__(self, reward, values): ...\n"
        "    def bounds(self, low, high): ...\n"
    ),
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    keep(monkeypatch, *(registry for registry, _, _ in KINDS.values()))


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return request.param


def test_every_door_is_public(kind):
    assert f"register_{kind}" in rec_gym.__all__
    assert getattr(rec_gym, f"register_{kind}") is KINDS[kind][1]


def test_an_entry_is_found_by_its_name(kind):
    registry, register, entry = KINDS[kind]
    size = len(registry)
    register("my-own_1", entry)
    assert "my-own_1" in list(registry)
    assert len(registry) == size + 1
    found = registry.find("my-own_1")
    if kind == "policy":
        assert found.summary == "The request in capitals."
    else:
        assert found is entry is registry["my-own_1"]
        assert registry.name_of(entry) == "my-own_1"


@pytest.mark.parametrize("source", PATHS)
def test_an_entry_is_found_by_its_path(kind, source):
    registry, _, entry = KINDS[kind]
    if kind == "policy":
        assert rec_gym.policies.make_policy(f"{source}:shout", None)([{"text": "a"}]) == ["A"]
        return
    name = "SHORT" if kind == "prompt" else entry.__qualname__
    found = registry.find(f"{source}:{name}")
    assert type(found) is type(entry)
    if kind != "prompt":
        assert found.__qualname__ == entry.__qualname__
        module = registry.name_of(found)
        assert module == f"{source}:{name}"


@pytest.mark.parametrize("source", PATHS)
@pytest.mark.parametrize("name", ["never", "NOTHING"])
def test_what_is_of_another_kind_is_refused_and_not_called(kind, source, name):
    registry, register, _ = KINDS[kind]
    with pytest.raises(ValueError, match=r"not an? .*; name (an?|the)? ?"):
        register("mine", getattr(custom, name))
    assert "mine" not in registry
    path = f"{source}:{name}"
    with pytest.raises(ValueError, match=r"is (the function never\(\)|an object of type NoneType), not an? "):
        rec_gym.policies.make_policy(path, None) if kind == "policy" else registry.find(path)


def test_entries_of_one_kind_are_of_no_other(kind):
    _, register, _ = KINDS[kind]
    # A class with the method of a recommender or of a policy may be one; it is checked again when it is made.
    looks_alike = {"recommender": "action", "policy": "transform"}
    for other, (_, _, entry) in KINDS.items():
        if other not in (kind, looks_alike.get(kind)):
            with pytest.raises(ValueError, match="not an? "):
                register("mine", entry)


def test_a_path_that_leads_nowhere(kind):
    registry = KINDS[kind][0]
    with pytest.raises(
        ValueError, match="there is no module 'helpers.custom_kode'.*did you mean 'helpers.custom_code'"
    ):
        registry.find("helpers.custom_kode:Pair")
    with pytest.raises(ValueError, match="did you mean 'shout'"):
        registry.find("helpers.custom_code:shouts")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        registry.find("no_file.py:Pair")


def test_an_unknown_name_suggests_near_ones(kind):
    registry, register, entry = KINDS[kind]
    register("quaint-name", entry)
    with pytest.raises(ValueError, match="did you mean 'quaint-name"):
        registry.find("quaint-nam")


@pytest.mark.parametrize("name", ["", "Mine", "1st", "my name", "my:name", "-mine", "mine\n", None, 3])
def test_names_are_of_one_form(kind, name):
    registry, register, entry = KINDS[kind]
    before = list(registry)
    with pytest.raises(ValueError, match="lower-case letters, digits|is taken"):
        register(name, entry)
    assert list(registry) == before


def test_a_name_that_is_taken_is_refused(kind):
    registry, register, entry = KINDS[kind]
    for name in registry:
        with pytest.raises(ValueError, match=f"the name '{name}' is taken by another"):
            register(name, entry)
    register("mine", entry)
    register("mine", entry)  # the same again
    if kind in CELL:
        with pytest.raises(ValueError, match="the name 'mine' is taken by another"):
            register("mine", cell(kind, 1))


@pytest.mark.parametrize("kind", sorted(CELL))
def test_running_a_cell_again_replaces_what_it_defined(kind):
    registry, register, _ = KINDS[kind]
    first, second = cell(kind, 1), cell(kind, 2)
    assert first is not second
    register("mine", first)
    old = registry["mine"]
    register("mine", second)
    assert registry["mine"] is not old
    if kind != "policy":
        assert registry["mine"] is second


def test_a_prompt_is_no_class_that_could_be_defined_again():
    rec_gym.register_prompt("mine", custom.SHORT)
    rec_gym.register_prompt("mine", Prompt("{request}\n{instruction}"))  # an equal one
    with pytest.raises(ValueError, match="is taken"):
        rec_gym.register_prompt("mine", PROMPTS["search"])


def test_terms_do_not_take_the_names_of_measures_and_statistics():
    for name in ("format", "length", "copy", "ndcg"):
        with pytest.raises(ValueError, match=f"the name '{name}' is taken by another term or measure"):
            rec_gym.register_term(name, custom.few_words)


def test_entries_are_imported_when_they_are_asked_for(monkeypatch):
    texts = Interface("a text", lambda value: isinstance(value, str), "a text")
    registry = Registry(texts, {"late": "lazy_module_of_a_test:NAME", "wrong": "lazy_module_of_a_test:NUMBER"})
    assert "late" in registry
    assert list(registry) == ["late", "wrong"]
    with pytest.raises(ValueError, match="no module 'lazy_module_of_a_test'"):
        registry.find("late")
    module = ModuleType("lazy_module_of_a_test")
    module.NAME, module.NUMBER = "found", 3
    monkeypatch.setitem(sys.modules, "lazy_module_of_a_test", module)
    assert registry.find("late") == registry["late"] == "found"
    with pytest.raises(ValueError, match="is an object of type int, not a text"):
        registry.find("wrong")


def test_objects_are_made_from_names_and_tables():
    assert ACTIONS.make("plain") == rec_gym.loop.actions.Plain()
    assert ACTIONS.make({"name": "helpers.custom_code:Pair", "second_first": True}) == custom.Pair(second_first=True)
    for spec, message in (
        ({"second_first": True}, "name"),
        ({"name": "helpers.custom_code:Pair", "second_frist": True}, "did you mean 'second_first'"),
        ({"name": "helpers.custom_code:Pair", "second_first": 1}, "second_first"),
        (3, "an action format"),
    ):
        with pytest.raises(ValueError, match=message):
            ACTIONS.make(spec)


def test_what_has_neither_name_nor_path():
    class Local(rec_gym.loop.actions.Plain):
        pass

    with pytest.raises(ValueError, match="register it by a name as an action format"):
        ACTIONS.name_of(Local)


def cell(kind, number):
    """What a cell of a notebook defines."""
    names = {"__name__": "__main__", "rec_gym": rec_gym}
    exec(CELL[kind].format(n=number), names)
    return names["Mine"]
