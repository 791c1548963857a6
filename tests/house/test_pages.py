"""The pages that are made from the cards, and the figures that the cards state of embedded data."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rec_gym
from rec_gym.cards import cards
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy

SCRIPT = Path(__file__).parents[2] / "docs" / "make_pages.py"
HEADINGS = [
    "Description", "Action", "Observation", "Reward", "Splits", "Data and licence", "Baselines", "Ids"
]  # fmt: skip


@pytest.fixture(scope="module")
def make_pages():
    spec = importlib.util.spec_from_file_location("make_pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_page_is_stale(make_pages):
    names = [str(path.relative_to(SCRIPT.parent)) for path in make_pages.stale()]
    assert not names, f"run `python docs/make_pages.py`: {names}"


def test_every_family_has_a_page_with_the_same_headings(make_pages):
    made = make_pages.pages()
    assert set(made) == set((SCRIPT.parent / "environments").glob("*.md")) | {SCRIPT.parent / "data.md"}
    for name, card in make_pages.families().items():
        page = made[SCRIPT.parent / "environments" / f"{name}.md"]
        assert re.findall(r"^## (.*)", page, re.MULTILINE) == HEADINGS
        assert all(f"`{task_id}`" in page for task_id in card.ids)
        described = page.partition("Options of the loader")[2].partition("## Baselines")[0]
        empty = re.findall(r"^\| `(\w+)` \| .* \|  \|$", described, re.MULTILINE)
        assert not empty, f"{card.path} has options that the loader does not describe: {empty}"
    index = made[SCRIPT.parent / "environments" / "index.md"]
    assert all(f"`{task_id}`" in index for card in make_pages.families().values() for task_id in card.ids)


def test_a_stale_page_is_named_and_written(make_pages, monkeypatch, tmp_path):
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "gone.md").write_text("x")
    (tmp_path / "data.md").write_text(f"before\n{make_pages.BEGIN}\nold\n{make_pages.END}\nafter\n")
    monkeypatch.setattr(make_pages, "DOCS", tmp_path)
    assert {path.name for path in make_pages.stale()} >= {"gone.md", "data.md", "index.md", "esci.md"}
    monkeypatch.setattr(sys, "argv", ["make_pages.py", "--check"])
    with pytest.raises(SystemExit, match="1"):
        make_pages.main()
    monkeypatch.setattr(sys, "argv", ["make_pages.py"])
    with pytest.raises(SystemExit, match="0"):
        make_pages.main()
    assert make_pages.stale() == []
    text = (tmp_path / "data.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    (tmp_path / "data.md").write_text("no marks")
    with pytest.raises(ValueError, match="lacks the lines"):
        make_pages.pages()


def test_the_script_runs_as_it_is():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("name", "data", "policy"),
    [
        ("RecR1-CornerShop-BM25-v0", "test, 400 requests", "raw"),
        ("RecR1-CornerShopHistory-BM25-v0", "test, 225 requests", "last-title"),
        *(("RecR1-CornerShopFilters-BM25-v0", "test, 400 requests", name) for name in ("raw", "filter-rule")),
        ("RecR1-CornerShopFilters-Hybrid-v0", "test, 400 requests (hybrid)", "filter-rule"),
    ],
)
def test_stated_baselines_of_embedded_data(name, data, policy):
    task = rec_gym.make_task(name, split="test")
    baselines = cards()[name].content["baselines"]
    [stated] = [entry for entry in baselines if (entry["data"], entry["policy"]) == (data, policy)]
    names = [key for key in stated if "@" in key]
    measured = evaluate(task, make_policy(policy, task), measures=names)
    for measure in names:
        mean = measured.values(measure).mean()
        assert mean == pytest.approx(stated[measure], abs=5e-5)
        low, high = stated.get("intervals", {}).get(measure, (mean, mean))
        assert low <= mean <= high


@pytest.mark.parametrize(
    ("name", "folder", "split", "exclude", "policy", "stated"),
    [
        ("RecR1-BEIR-BM25-v0", "cranfield", "all", True, "raw", 0),
        ("RecR1-RecBole-BM25-v0", "amazon_office_2018", "test", True, "last-title", 0),
        ("RecR1-RecBole-BM25-v0", "amazon_office_2018", "test", False, "last-title", 1),
    ],
)
def test_stated_baselines_of_real_data(real_data, name, folder, split, exclude, policy, stated):
    task = rec_gym.make_task(name, data_dir=str(real_data / folder), split=split, exclude_history=exclude)
    entry = cards()[name].content["baselines"][stated]
    assert entry["policy"].startswith(policy)
    measured = evaluate(task, make_policy(policy, task), measures=["ndcg@10", "ndcg@100", "recall@100"])
    for measure in ("ndcg@10", "ndcg@100", "recall@100"):
        assert measured.values(measure).mean() == pytest.approx(entry[measure], abs=5e-5)
