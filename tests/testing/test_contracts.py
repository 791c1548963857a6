"""Everything that has a name keeps the promises that `rec_gym.testing` checks; what is new is checked without a new line."""

import numpy as np
import pytest

import rec_gym
from rec_gym.cards import cards
from rec_gym.columns import Ragged
from rec_gym.loop.actions import ACTIONS
from rec_gym.measures import MEASURES, parameter_names
from rec_gym.policies.registry import POLICIES, fitting_policies
from rec_gym.recommenders import RECOMMENDERS, make_recommender
from rec_gym.testing import (
    check_action_format,
    check_card,
    check_loader,
    check_measure,
    check_policy,
    check_recommender,
)

SHOP, HISTORIES = "RecR1-CornerShop-BM25-v0", Ragged.from_rows([[1, 2, 3], [2, 3, 9], [5, 1], [0, 29, 2]], np.int32)
NEEDED = {"rerank": {"scorer": "rec_gym.recommenders.rerank:shared_words"}}  # settings without a default
PARAMETERS = {"p": "0.8", "max_grade": "1"}
ARGUMENTS = {"append": ":lamp", "random-words": ":3"}
SAVED = {"words"}  # policies that read a file; the tests of training check them
EMBEDDED = {card.path: card for card in cards().values() if card.embedded}


@pytest.fixture(scope="module")
def items():
    words = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool"]
    draws = np.random.Generator(np.random.PCG64(0))
    titles = [" ".join(words[i] for i in draws.integers(0, len(words), 3)) for _ in range(30)]
    return rec_gym.Catalog.from_columns(
        {
            "item_id": [f"i{n}" for n in range(30)],
            "title": titles,
            "popularity": draws.integers(0, 5, 30),
            "price": [None if n % 4 == 0 else n / 8 for n in range(30)],
        }
    )


@pytest.mark.parametrize("name", sorted(set(RECOMMENDERS) - {"postgres"}))  # a server, tested by itself
def test_recommenders(name, items, tmp_path):
    needed = {"record": tmp_path / "run.sqlite"} if name == "recording" else NEEDED.get(name, {})
    check_recommender(make_recommender(name, needed, items, HISTORIES), items)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_action_formats(name):
    check_action_format(name)
    check_action_format({"name": name, "max_chars": 40})
    if "strict" in ACTIONS[name].__dataclass_fields__:
        check_action_format({"name": name, "strict": True})


@pytest.mark.parametrize("cutoff", ["", "@1", "@5", "@100"])
@pytest.mark.parametrize("name", sorted(MEASURES))
def test_measures(name, cutoff):
    parameters = ",".join(PARAMETERS[parameter] for parameter in parameter_names(MEASURES[name]))
    text = f"{name}({parameters}){cutoff}" if parameters else f"{name}{cutoff}"
    if not cutoff and name in ("constraints", "distance"):
        with pytest.raises(ValueError, match="needs a cut-off"):
            check_measure(text)
        return
    check_measure(text)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - SAVED))
def test_policies(name):
    tasks = [
        rec_gym.make_task(SHOP),
        rec_gym.make_task(SHOP, action="order", candidates={"k": 10}),
        rec_gym.make_task(SHOP, action="structured"),
        rec_gym.make_task("RecR1-CornerShopHistory-BM25-v0"),
    ]
    fitting = [task for task in tasks if name in fitting_policies(task)]
    assert fitting
    for task in fitting:
        check_policy(name + ARGUMENTS.get(name, ""), task)


@pytest.mark.parametrize("path", sorted(EMBEDDED))
def test_loaders(path):
    check_loader(EMBEDDED[path].content["loader"], **EMBEDDED[path].options)


def test_a_packaged_card_copied_out(tmp_path):
    card = next(iter(EMBEDDED.values()))
    text = card.text
    for number, task_id in enumerate(card.ids):
        text = text.replace(f'"{task_id}"', f'"Copied{number}-v0"')
    (tmp_path / "card.toml").write_text(text)
    check_card(tmp_path / "card.toml")
    assert "Copied0-v0" in cards()
