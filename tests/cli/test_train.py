"""`rec-gym train`: what it checks before the first step, what it saves, and that what it prints can be run."""

import json
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

import rec_gym
from rec_gym.cli import app

SHOP = "RecR1-CornerShop-BM25-v0"
runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def train(*arguments):
    result = run("train", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments):
    """The one line that says why there was no training."""
    result = run("train", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""  # nothing was begun
    return result.stderr


@pytest.fixture
def card(tmp_path):
    """A custom card over a folder in BEIR's layout: two things, asked for in words that the catalogue lacks."""
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    items = {"d0": "oak chair", "d1": "blue lamp"}
    needs = ["somewhere to sit", "light to read by"]
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": name, "title": title, "text": ""}) for name, title in items.items())
    )
    (folder / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": f"q{i}", "text": needs[i % 2]}) for i in range(60))
    )
    for split, numbers in {"train": range(40), "test": range(40, 60)}.items():
        rows = [f"q{i}\td{i % 2}\t1" for i in numbers]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "Mine"\nsummary = "Two things."\nloader = "rec_gym.datasets.beir:load"\nlicence = "CC0"\n'
        '[options]\ndata_dir = "data"\n[recommenders.bm25]\nfields = ["title", "text"]\n'
        '[[env]]\nid = "Mine-BM25-v0"\nrecommender = "bm25"\nreward = "ndcg@10"\n'
    )
    rec_gym.register_card(path)
    return "Mine-BM25-v0"


def test_a_custom_card_is_learned_and_its_command_repeats_the_figures(card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = train(card, "--steps", 12, "--vocabulary", "catalog", "--output", "out, mine")
    assert "the words are added to the request" in text
    assert "4 words of the catalogue" in text
    saved = json.loads((tmp_path / "out, mine" / "result.json").read_text())
    raw, policy = saved["policies"]
    assert (raw["policy"], policy["policy"], saved["split"]) == ("raw", "trained", "val")
    assert raw["measures"]["ndcg@10"]["mean"] == 0 < policy["measures"]["ndcg@10"]["mean"]
    assert policy["reference"] == "its words are the catalogue's"
    made = saved["training"]
    assert (made["split"], made["steps"], len(made["curve"])) == ("train", 12, 12)
    assert made["curve"][-1]["reward"] > made["curve"][0]["reward"]
    [line] = [line for line in text.splitlines() if line.strip().startswith("rec-gym evaluate")]
    again = run(*shlex.split(line)[1:], "--split", "val", "--json", "again.json")
    assert again.exit_code == 0, again.output
    evaluated = json.loads((tmp_path / "again.json").read_text())["policies"][1]
    assert evaluated["policy"] == "words:out, mine/policy.npz"
    assert evaluated["measures"]["ndcg@10"]["mean"] == policy["measures"]["ndcg@10"]["mean"]
    assert "holds policy.npz and result.json" in refused(card, "--output", "out, mine")


def test_the_same_seed_trains_the_same_and_settings_are_kept(tmp_path):
    settings = ["--set", "items=600", "--set", "reward=ndcg@100", "--set", "turns=1", "--steps", 2, "--seed", 3]
    texts = [train("RecR1-CornerShopRefine-BM25-v0", *settings, "--output", tmp_path / name) for name in "ab"]
    first, second = (np.load(tmp_path / name / "policy.npz")["weights"] for name in "ab")
    np.testing.assert_array_equal(first, second)
    assert first.any()
    assert f"--set items=600 --set reward=ndcg@100 --set turns=1 --split test --policy raw,words:{tmp_path}" in texts[0]
    measures = json.loads((tmp_path / "a" / "result.json").read_text())["policies"][0]["measures"]
    assert set(measures) == {"ndcg@100", "ndcg@10"}


def test_filters_are_trained_where_completions_hold_them_and_the_command_repeats_the_figures(tmp_path):
    settings = ["--set", "items=600", "--steps", 4, "--seed", 1, "--output", tmp_path / "out"]
    text = train("RecR1-CornerShopFilters-BM25-v0", *settings)
    assert "the words are added to the request, and filters may be set on price, size, material" in text
    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    assert saved["training"]["curve"][0]["filters"] > 0
    assert np.load(tmp_path / "out" / "policy.npz")["slot_weights"].any()
    [line] = [line for line in text.splitlines() if line.strip().startswith("rec-gym evaluate")]
    again = run(*shlex.split(line)[1:], "--split", "val", "--json", tmp_path / "again.json")
    assert again.exit_code == 0, again.output
    policy = saved["policies"][1]
    evaluated = json.loads((tmp_path / "again.json").read_text())["policies"][1]
    assert evaluated["measures"]["ndcg@10"]["mean"] == policy["measures"]["ndcg@10"]["mean"]
    text = train("RecR1-CornerShopFilters-BM25-v0", *settings[:-1], tmp_path / "words", "--set", "action=append")
    assert "filters may be set" not in text
    assert "slot_weights" not in np.load(tmp_path / "words" / "policy.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RecR1-CornerShopRefine-BM25-v0"], "add --set turns=1"),
        (["RecR1-CornerShopRerank-BM25-v0"], "rec-gym list"),
        (["RecR1-CornerShopGenerate-BM25-v0"], "add --set action=append"),
        ([SHOP, "--set", "action=answer"], "add --set action=append"),
        ([SHOP, "--val", "valid"], "did you mean 'val'"),
        ([SHOP, "--val", "train"], "choose another split with --val or --split"),
        ([SHOP, "--split", "all"], "choose another split with --val or --split"),
        ([SHOP, "--split", "trian"], "trian"),
        ([SHOP, "--set", "reward=ndgc@10"], "did you mean"),
        (["RecR1-CornerShopHistory-BM25-v0", "--set", "measures=['constraints@10']"], "constraints"),
        ([SHOP, "--vocabulary", "no.txt"], "english, catalog or a text file"),
        ([SHOP.replace("Corner", "Croner")], "did you mean"),
    ],
    ids=lambda value: value[0] if isinstance(value, str) else " ".join(value),
)
def test_what_would_fail_later_is_refused_before_the_first_step(arguments, message, tmp_path):
    assert message in refused(*arguments, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()
