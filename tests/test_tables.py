"""Settings as data: near names, types and missing keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from rec_gym.tables import check_arguments, check_fields, check_keys, checked, named, nearest, read_fields, unknown


@dataclass(frozen=True)
class Lamp:
    watts: float
    colours: Sequence[str] = ()
    mode: Literal["warm", "cold"] = "warm"
    sockets: int | None = None
    dimmed: bool = False


def test_a_misspelt_name_is_answered_with_at_most_three_near_ones():
    names = [f"RecR1-CornerShop-{kind}-v0" for kind in ("BM25", "Dense", "Hybrid", "ItemKNN")] + ["RecR1-ESCI-v0"] * 20
    assert nearest("recr1-cornershop-bm52-v0", names)[0] == "RecR1-CornerShop-BM25-v0"
    message = unknown("id", "RecR1-CornerShop-BM52-v0", names, more="`rec-gym list`")
    assert message.startswith("unknown id 'RecR1-CornerShop-BM52-v0'; did you mean 'RecR1-CornerShop-BM25-v0'")
    assert message.count("RecR1") == 4
    assert message.endswith("see `rec-gym list`")


def test_few_names_are_listed():
    assert unknown("mode", "hot", ["warm", "cold"]) == "unknown mode 'hot'; choose from: warm, cold"
    assert unknown("mode", 3, [], more="a class") == "unknown mode 3; choose from: none, or a class"


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("watts", "5", "a finite number"),
        ("watts", float("nan"), "a finite number"),
        ("watts", float("inf"), "a finite number"),
        ("watts", 10**400, "a finite number"),
        ("watts", True, "a finite number"),
        ("colours", "red", "a list, each text"),
        ("colours", [1], "a list, each text"),
        ("mode", "hot", "one of 'warm', 'cold'"),
        ("sockets", 2.0, "a whole number or nothing"),
        ("dimmed", "no", "true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key, value, wanted):
    with pytest.raises(ValueError, match=f"{key} of a lamp must be {wanted}, not"):
        read_fields({"watts": 3, key: value}, Lamp, "a lamp")


def test_a_table_becomes_a_dataclass():
    lamp = read_fields({"watts": np.float32(3), "colours": ["red"], "sockets": np.int64(2)}, Lamp, "a lamp")
    assert lamp == Lamp(3.0, ("red",), "warm", 2)
    assert type(lamp.watts) is float


def test_unknown_and_missing_keys_are_named():
    with pytest.raises(ValueError, match="a lamp has no such option: unknown option 'watt'; did you mean 'watts'"):
        read_fields({"watt": 3}, Lamp, "a lamp")
    with pytest.raises(ValueError, match="a lamp needs 'watts'; its options are: watts, colours"):
        read_fields({}, Lamp, "a lamp")
    check_keys({"a": 1}, ["a", "b"], "a table")


def test_a_name_or_a_table_with_a_name():
    assert named("scale", "a transform") == ("scale", {})
    assert named({"name": "scale", "by": 2}, "a transform") == ("scale", {"by": 2})
    for wrong in (None, 5, {"by": 2}, {"name": 3}, ["scale"]):
        with pytest.raises(ValueError, match="a transform is a name or a table with 'name'"):
            named(wrong, "a transform")


def test_arguments_are_checked_against_a_signature():
    def lamp(watts: float, colours: Sequence[str] = (), *, table: Mapping[str, int] | None = None, free=None): ...

    check_arguments(lamp, {"watts": 1, "colours": ("red",), "table": {}, "free": object()}, "the lamp")
    check_arguments(Lamp, {"watts": 1}, "the lamp")
    for options, message in [
        ({}, "needs 'watts'"),
        ({"watts": 1, "colour": ()}, "did you mean 'colours'"),
        ({"watts": 1, "colours": "red"}, "colours of the lamp must be a list"),
        ({"watts": "1"}, "watts of the lamp must be a finite number"),
        ({"watts": 1, "table": 3}, "table of the lamp must be a table or nothing"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_arguments(lamp, options, "the lamp")


def test_unions_take_any_of_their_types():
    assert checked("a", str | Sequence[str], "x") == "a"
    assert checked(["a"], str | Sequence[str], "x") == ["a"]


def test_a_dataclass_checks_its_own_values():
    @dataclass(frozen=True)
    class Shade:
        watts: float
        colours: Sequence[str] = ()

        def __post_init__(self) -> None:
            check_fields(self, "a shade")

    shade = Shade(np.int64(3), ["red"])
    assert (shade.watts, type(shade.watts), shade.colours) == (3.0, float, ("red",))
    with pytest.raises(ValueError, match="watts of a shade must be a finite number, not inf"):
        Shade(float("inf"))
