"""Cards, registration and the keywords of an id."""

import gymnasium as gym
import pytest

import rec_gym
from rec_gym.card_checks import check_settings
from rec_gym.cards import card_of, cards, register_card

SHOP = "RecR1-CornerShop-BM25-v0"

MINE = """
title = "Mine"
summary = "A folder of my own."
licence = "none"
loader = "rec_gym.datasets.beir:load"

[options]
data_dir = "data"

[recommenders.rank_bm25]
k1 = 0.9

[[env]]
id = "{name}"
recommender = "rank_bm25"
reward = "mrr@10"
turns = 2
"""


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "a", "title": "red lamp", "text": ""}\n{"_id": "b", "text": "a rug"}\n')
    (data / "queries.jsonl").write_text('{"_id": "1", "text": "light"}\n{"_id": "2", "text": "feet"}\n')
    for split, row in (("train", "1\ta\t1"), ("test", "2\tb\t1"), ("dev", "")):
        if row:
            (data / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    return tmp_path


@pytest.mark.parametrize("name", sorted(cards()))
def test_every_packaged_card_is_complete(name):
    card = card_of(name)
    assert card.content["title"]
    assert card.content["licence"]
    assert name in gym.registry
    assert len(card.hash) == 64
    check_settings(card.content, card.path)  # those of a user are checked when they are registered


def test_a_card_of_ones_own(folder):
    (folder / "mine.toml").write_text(MINE.format(name="Mine-v0"))
    assert register_card(folder / "mine.toml") == ["Mine-v0"]
    env = gym.make("Mine-v0")
    assert env.unwrapped.task.recommender.k1 == 0.9
    assert env.unwrapped.task.turns.limit == 2
    env.reset(seed=0)
    assert env.step("lamp")[1] == 1
    # The same file again is no conflict; the same id in another file is.
    register_card(folder / "mine.toml")
    (folder / "other.toml").write_text(MINE.format(name="Mine-v0") + "\n")
    with pytest.raises(ValueError, match="the id 'Mine-v0' is registered by .*mine.toml; choose another id"):
        register_card(folder / "other.toml")


def test_a_recommender_of_ones_own_by_name(folder):
    (folder / "own.toml").write_text(MINE.format(name="Own-v0").replace('"rank_bm25"', '"tests_own:Newest"'))
    register_card(folder / "own.toml")
    with pytest.raises(ValueError, match="'tests_own:Newest' cannot be loaded"):
        rec_gym.make_task("Own-v0")
    name = "rec_gym.recommenders.trivial:RandomRecommender"
    assert rec_gym.make_task("Own-v0", recommender={"name": name, "seed": 3}).recommender.seed == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title", "titel"), "unknown option 'titel'; did you mean 'title'"),
        (
            ('licence = "none"', 'licence = "none"\ncolour = 1'),
            "the card .*wrong.toml has no such option: unknown option 'colour'",
        ),
        (("turns = 2", "turns ="), "is not valid TOML"),
        (("turns = 2", f"x = {'[' * 5000}"), "is nested too deeply"),
        (("[[env]]", "[env]"), "env of the card .* must be a list, each a table"),
        (('id = "Wrong-v0"', "id = 5"), r"id of \[\[env\]\] number 1 must be text, not 5"),
        (('id = "Wrong-v0"', 'id = "no version!"'), "'no version!' is not an id such as 'MyShop-BM25-v0'"),
        (("[options]", "[[options]]"), "options of the card .* must be a table"),
        (("[recommenders.rank_bm25]\nk1", "[recommenders]\nrank_bm25"), r"\[recommenders.rank_bm25\] must be a table"),
        (("k1 = 0.9", 'name = "x"'), r"\[recommenders.rank_bm25\] has its name in its title"),
        (("k1 = 0.9", "k_1 = 0.9"), r"\[recommenders.rank_bm25\]: .*unknown option 'k_1'; did you mean 'k1'"),
        (("k1 = 0.9", 'k1 = "0.9"'), r"\[recommenders.rank_bm25\]: k1 of .* must be a finite number, not '0.9'"),
        (
            ("[recommenders.rank_bm25]", "[recommenders.rank_bm52]"),
            "unknown recommender 'rank_bm52'; did you mean 'rank",
        ),
        (('recommender = "rank_bm25"', 'recommender = "bm26"'), "'Wrong-v0': unknown recommender 'bm26'; did you mean"),
        (('recommender = "rank_bm25"', "recommender = 5"), "recommender of .* must be text or a table, not 5"),
        (('"rank_bm25"', '{name = "hybrid", parts = ["bm25", "dens"]}'), "'dens'; did you mean 'dense'"),
        (("turns = 2", "turn = 2"), r"\[\[env\]\] 'Wrong-v0' .*unknown option 'turn'; did you mean 'turns'"),
        (("turns = 2", 'turns = "2"'), r"\[\[env\]\] 'Wrong-v0': turns of the task must be a whole number, not '2'"),
        (("turns = 2", "rewrad = 2"), "unknown option 'rewrad'; did you mean 'reward'"),
        (("turns = 2", 'dataset = "x"'), "unknown option 'dataset'"),
        (("mrr@10", "mmr@10"), r"\[\[env\]\] 'Wrong-v0': unknown measure 'mmr@10'"),
        (("turns = 2", 'action = "plian"'), "'Wrong-v0': unknown action format 'plian'"),
        (("turns = 2", "candidates = { kk = 2 }"), "'Wrong-v0': .*'kk'"),
        (("turns = 2", 'protocol = "papr"'), "'Wrong-v0': unknown protocol 'papr'; choose from: none"),
        (("[[env]]", "[settings]\nturn = 2\n[[env]]"), r"\[settings\] has no such option: unknown option 'turn'"),
        (("[[env]]", "[protocols.papr]\ncutoffs = {}\n[[env]]"), "unknown protocol 'papr'; did you mean 'paper'"),
        (("[[env]]", "[protocols.paper]\ncutofs = {}\n[[env]]"), r"\[protocols.paper\] .*did you mean 'cutoffs'"),
        (("[[env]]", "[protocols.paper]\ncutoffs = {all = '5'}\n[[env]]"), "all of cutoffs .* must be a whole number"),
        (("[[env]]", "[[variant]]\noptions = {data_dri = 1}\nrecommenders = {}\n[[env]]"), "did you mean 'data_dir'"),
        (("[[env]]", "[[variant]]\noptions = {}\n[[env]]"), r"a \[\[variant\]\] needs 'recommenders'"),
        (("[[env]]", "[[variant]]\noptions = {}\nrecommenders = {bm25 = {kk = 1}}\n[[env]]"), "unknown option 'kk'"),
        (('licence = "none"', 'licence = "none"\ntask = "serch"'), "unknown task 'serch'; did you mean 'search'"),
        (('licence = "none"', 'licence = "none"\nneeds = "data"'), "'needs' names an option: unknown option 'data'"),
        (("turns = 2", 'turns = 2\n[[env]]\nid = "Wrong-v0"\nrecommender = "bm25"'), "the id 'Wrong-v0' appears twice"),
        (('recommender = "rank_bm25"', ""), r"\[\[env\]\] 'Wrong-v0' needs 'recommender'"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(folder, change, message):
    (folder / "wrong.toml").write_text(MINE.format(name="Wrong-v0").replace(*change))
    with pytest.raises(ValueError, match=message):
        register_card(folder / "wrong.toml")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            {"splitt": "test"},
            TypeError,
            "has no such keyword: unknown keyword 'splitt'; did you mean 'split'",
        ),
        ({"split": "dev"}, ValueError, "unknown split 'dev'; choose from: train, val, test, ood-"),
        ({"reward": "ndgc@10"}, ValueError, "unknown measure 'ndgc@10'; did you mean 'ndcg@10'"),
        ({"recommender": "bm26"}, ValueError, "unknown recommender 'bm26'; did you mean 'bm25'"),
        (
            {"recommender": {"name": "bm25", "k2": 1}},
            ValueError,
            "recommender 'bm25' has no such option: unknown option 'k2'; choose from: fields, k1",
        ),
        ({"recommender": {"k1": 1}}, ValueError, "a recommender is a name or a table with 'name'"),
        ({"protocol": "blog"}, ValueError, "no such protocol: unknown protocol 'blog'; choose from: paper"),
        ({"recommender": 5}, ValueError, "a recommender is a name or a table with 'name', not 5"),
        (
            {"colour": 1},
            TypeError,
            "unknown keyword 'colour'; choose from: split, reward, .*recommender, protocol, items",
        ),
    ],
)
def test_wrong_overrides_list_the_right_ones(overrides, error, message):
    with pytest.raises(error, match=message):
        rec_gym.make_task(SHOP, **overrides)


def test_a_misspelt_id_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=f"unknown id 'RecR1-CornrShop-BM25-v0'; did you mean '{SHOP}'") as caught:
        rec_gym.make_task("RecR1-CornrShop-BM25-v0")
    assert str(caught.value).count("RecR1") == 4
    assert str(caught.value).endswith("see `rec-gym list`")
    with pytest.raises(ValueError, match="unknown id 'zzz'; see `rec-gym list`"):
        rec_gym.make_task("zzz")


def test_data_that_is_not_packaged_says_how_to_get_it():
    with pytest.raises(ValueError, match=r"recbole:load needs data_dir=\.\.\. "):
        rec_gym.make_task("RecR1-RecBole-BM25-v0")
    with pytest.raises(ValueError, match=r"beir:load needs data_dir=\.\.\. Name a set of the BEIR benchmark"):
        rec_gym.make_task("RecR1-BEIR-BM25-v0")
    with pytest.raises(ValueError, match="data_dir is the path of a folder, not 3"):
        rec_gym.make_task("RecR1-BEIR-BM25-v0", data_dir=3)
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir="/nowhere")


def test_the_papers_protocol():
    train = rec_gym.make_task(SHOP, protocol="paper")
    assert str(train.reward.measure) == "ndcg@1000"
    assert str(train.replace(split="test").reward.measure) == "ndcg@100"
    assert train.reward.range == (-2.0, 1.1)
    assert train.action.strict
    row = next(train.rows())
    assert row["prompt"].endswith("<|im_start|>assistant\nLet me solve this step by step.\n<think>")
    assert f"```{row['text']}```" in row["messages"][1]["content"]
    assert "Boolean operators (AND, OR)" in row["messages"][1]["content"]
    history = rec_gym.make_task("RecR1-CornerShopHistory-BM25-v0", protocol="paper", split="val")
    assert str(history.reward.measure) == "ndcg@50"
    assert "user purchase history" in next(history.rows())["prompt"]
    # What a caller names wins over the protocol.
    mine = rec_gym.make_task(SHOP, protocol="paper", action="plain", reward="mrr@10")
    assert (mine.action.name, str(mine.reward.measure)) == ("plain", "mrr@10")


def test_the_papers_rewards():
    task = rec_gym.make_task(SHOP, protocol="paper", split="val")
    row = next(task.rows())
    found = task.dataset.request(row["request_id"]).oracle
    outcomes = task.score(
        [row["request_id"]] * 3,
        ["red lamp", task.action.compose(found, ""), task.action.compose("zzzz", "")],
    )
    assert outcomes.rewards[0] == -2
    assert outcomes.rewards[1] == pytest.approx(0.1 + outcomes.measures["ndcg@100"][1])
    assert outcomes.rewards[1] > 0.1
    assert outcomes.rewards[2] == 0


class TestNamesOfIds:
    @pytest.fixture
    def card(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        (folder / "mine.toml").write_text(MINE.format(name="Named-v0"))
        return folder / "mine.toml"

    @pytest.mark.parametrize("text", ["mine.toml", "mine.toml:Named-v0", "./mine.toml:Named-v0"])
    def test_a_card_is_named_in_the_place_of_an_id(self, card, text):
        assert rec_gym.find_id(text) == "Named-v0"
        task = rec_gym.make_task(text)
        assert (task.name, task.recommender.k1) == ("Named-v0", 0.9)

    def test_a_module_that_registers_the_card(self, card, folder, monkeypatch):
        (folder / "named_shop.py").write_text("import rec_gym\nrec_gym.register_card('mine.toml')\n")
        monkeypatch.syspath_prepend(folder)
        assert rec_gym.make_task("named_shop:Named-v0").name == "Named-v0"
        assert gym.make("named_shop:Named-v0").unwrapped.task.name == "Named-v0"

    def test_what_is_wrong_is_said(self, card, folder):
        with pytest.raises(ValueError, match="unknown id 'Namd-v0'; did you mean 'Named-v0'"):
            rec_gym.find_id("mine.toml:Namd-v0")
        with pytest.raises(FileNotFoundError, match="there is no card .*nope.toml"):
            rec_gym.find_id("nope.toml")
        with pytest.raises(ValueError, match="unknown id 'Nope-v0'"):
            rec_gym.find_id("Nope-v0")
        second = '\n[[env]]\nid = "Second-v0"\nrecommender = "rank_bm25"\n'
        (folder / "mine.toml").write_text(MINE.format(name="Named-v0") + second)
        with pytest.raises(ValueError, match="registers several ids; name one as mine.toml:ID"):
            rec_gym.find_id("mine.toml")

    def test_a_card_is_forgotten(self, card, folder):
        rec_gym.register_card(card)
        assert rec_gym.unregister_card(card) == ["Named-v0"]
        assert "Named-v0" not in gym.registry
        (folder / "other.toml").write_text(MINE.format(name="Named-v0"))
        assert rec_gym.register_card("other.toml") == ["Named-v0"]
        with pytest.raises(ValueError, match="no card .*mine.toml is registered; custom cards: .*other.toml"):
            rec_gym.unregister_card(card)

    def test_rows_say_which_card_and_notice_that_it_changed(self, card):
        import json

        from rec_gym.adapters.rows import describe_task, task_of

        described = describe_task("mine.toml", {"split": "test"})
        assert json.loads(described)["settings"] == {"split": "test", "card": str(card)}
        rec_gym.unregister_card(card)
        assert task_of(described).name == "Named-v0"
        rec_gym.unregister_card(card)
        card.write_text(card.read_text().replace("mrr@10", "mrr@20"))
        with pytest.raises(ValueError, match="has changed since these rows were written"):
            task_of(described.replace('"test"', '"train"'))

    @pytest.mark.parametrize("name", ["named_package", "named_package:mine"])
    def test_an_installed_package_brings_cards(self, card, folder, monkeypatch, name):
        from importlib.metadata import EntryPoint

        from rec_gym import cards as module

        package = folder / "named_package"
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('it must not be imported')\n")
        card.rename(package / "mine.toml")
        monkeypatch.syspath_prepend(folder)
        entries = [EntryPoint("shop", name, module.ENTRY_POINTS), EntryPoint("broken", "nowhere_at_all", "")]
        monkeypatch.setattr(module.metadata, "entry_points", lambda group: entries)
        with pytest.warns(UserWarning, match="the cards of the entry point broken = nowhere_at_all are left out"):
            module.register_installed_cards()
        assert module.card_of("Named-v0").path == str(package / "mine.toml")

    def test_files_beside_a_card_are_found_from_everywhere(self, card, folder, tmp_path, monkeypatch):
        (folder / "reading.py").write_text(
            "import rec_gym\nfrom rec_gym.datasets import beir\n\n\n"
            "def load(data_dir: str) -> rec_gym.Dataset:\n    return beir.load(data_dir)\n"
        )
        card.write_text(card.read_text().replace("rec_gym.datasets.beir:load", "reading.py:load"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        task = rec_gym.make_task(f"{card}:Named-v0")
        assert task.settings.loader == f"{folder / 'reading.py'}:load"
        assert rec_gym.make_task(task.settings).settings == task.settings
