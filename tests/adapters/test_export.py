"""Rows for trainers that read files: what stands in them, and that the task comes back from them."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import rec_gym
from rec_gym.adapters.export import FORMATS, export
from rec_gym.adapters.openrlhf import read_label
from rec_gym.adapters.openrlhf import score as openrlhf_score
from rec_gym.adapters.rows import describe_task, task_of
from rec_gym.adapters.verl import compute_score
from rec_gym.cards import card_of
from rec_gym.cli import app
from rec_gym.policies.registry import fitting_policies, make_policy

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
HISTORY = "RecR1-CornerShopHistory-BM25-v0"
REWARD = {
    "measure": "mrr@50",
    "transforms": ["log_rank"],
    "terms": {"repetition": -0.2, "format": {"weight": 0.1, "only_if_positive": True}, "ndcg@7": 0.3},
    "unparsed": -0.7,
}
KEYS = {
    "verl": {"data_source", "prompt", "ability", "reward_model", "extra_info"},
    "openrlhf": {"prompt", "messages", "label", "datasource"},
    "jsonl": {"request_id", "text", "prompt", "messages", "domain", "split", "task"},
}


def read(file):
    """The rows as the trainer gets them."""
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def name(format):
    return f"rows{FORMATS[format].suffixes[0]}"


def answers(task, rows):
    """Completions that ask something, and some that do not parse."""
    policy = make_policy(fitting_policies(task)[0], task)
    return [*policy(rows[:-2]), "", "<think>and so on"]


@pytest.mark.parametrize("format", ["verl", "openrlhf"])
def test_every_task_comes_back_from_its_rows(embedded_id, format, tmp_path):
    settings = {"reward": REWARD, "turns": 1, "measures": ["ndcg@3"]}
    if rec_gym.make_task(embedded_id).action.name == "plain":
        settings["action"] = {"name": "answer", "max_chars": 200}
    file, _ = export(embedded_id, tmp_path / name(format), format=format, split="val", **settings)
    direct = rec_gym.make_task(embedded_id, split="val", **settings)
    rows, exported = list(direct.rows())[:12], read(file)
    completions = answers(direct, rows)
    expected = direct.score([row["request_id"] for row in rows], completions)
    assert len(exported) == len(direct)
    if format == "verl":
        made = [
            compute_score(row["data_source"], text, row["reward_model"]["ground_truth"], row["extra_info"])
            for row, text in zip(exported, completions, strict=False)
        ]
        assert [row["prompt"] for row in exported[:12]] == [row["messages"] for row in rows]
    else:
        prompts = [row["prompt"] for row in exported[:12]]
        queries = [prompt + text + "<|im_end|>" for prompt, text in zip(prompts, completions, strict=True)]
        made = openrlhf_score(queries, prompts, [row["label"] for row in exported[:12]])
        assert [row["messages"] for row in exported[:12]] == [row["messages"] for row in rows]
    assert [row["score"] for row in made] == expected.rewards.tolist()
    assert [row["parse"] for row in made] == expected.parse
    assert [row["measure/ndcg@3"] for row in made] == expected.measures["ndcg@3"].tolist()
    assert len(set(expected.rewards.tolist())) > 1


@pytest.mark.parametrize("format", FORMATS)
def test_rows_hold_no_gains_and_the_same_bytes_again(format, tmp_path):
    first, task = export(SHOP, tmp_path / name(format), format=format, split="val", items=600)
    again, _ = export(SHOP, tmp_path / f"again{first.suffix}", format=format, split="val", items=600)
    assert first.read_bytes() == again.read_bytes()
    rows = read(first)
    assert len(rows) == len(task)
    assert {frozenset(row) for row in rows} == {frozenset(KEYS[format])}
    relevant = task.dataset.catalog.ids(task.dataset.relevant.take(task.rows_in_split[:50]).values)
    assert relevant
    text = json.dumps(rows)
    assert not [item for item in relevant if item in text]


def test_plain_rows_are_those_of_the_task(tmp_path):
    settings = {"items": 600, "candidates": {"k": 5}, "action": "order"}
    file, task = export(SHOP, tmp_path / "rows.jsonl", split="test", **settings)
    rows = read(file)
    assert [{k: v for k, v in row.items() if k not in ("split", "task")} for row in rows] == list(task.rows())
    again = task_of(rows[0]["task"])
    assert (again.split, len(again.request_ids)) == ("test", len(rows))
    assert json.loads(rows[0]["task"]) == {
        "id": SHOP,
        "card_sha256": card_of(SHOP).hash,
        "settings": {"split": "test", **settings},
    }


@pytest.mark.parametrize(("task_id", "said"), [(REFINE, "A shopper says"), (HISTORY, "A shopper bought")])
def test_several_turns_tell_of_the_tool(task_id, said, tmp_path):
    file, task = export(task_id, tmp_path / "rows.parquet", format="verl", split="val", turns=2)
    row = read(file)[3]
    assert row["agent_name"] == "tool_agent"
    assert row["extra_info"]["tools_kwargs"]["search"]["create_kwargs"] == {
        "request_id": row["reward_model"]["ground_truth"],
        "task": row["extra_info"]["task"],
    }
    assert "the `search` tool" in row["prompt"][-1]["content"]
    assert row["prompt"][-1]["content"].startswith(said)
    assert task_of(row["extra_info"]["task"]).turns == task.turns
    own = {"user": "{request}, please"}
    file, _ = export(task_id, tmp_path / "rows.parquet", format="verl", split="val", turns=2, prompt=own)
    assert read(file)[0]["prompt"][-1]["content"].endswith(", please")


def test_rewards_that_are_paid_at_the_end_do_not_go_with_the_tool(tmp_path):
    with pytest.raises(ValueError, match="turn_reward='gain'"):
        export(REFINE, tmp_path / "rows.parquet", format="verl", turn_reward="last")
    with pytest.raises(ValueError, match="openrlhf pays each search"):
        export(REFINE, tmp_path / "rows.jsonl", format="openrlhf", turn_reward="last", items=600)
    export(REFINE, tmp_path / "rows.jsonl", format="jsonl", turn_reward="last", items=600)


@pytest.mark.parametrize(
    ("file", "format", "settings", "message"),
    [
        ("rows.csv", "csv", {}, "unknown format 'csv'; choose from: verl, openrlhf, jsonl"),
        ("rows.json", "verl", {}, r"must end in \.parquet, not 'rows\.json'"),
        ("rows", "jsonl", {}, r"must end in \.jsonl"),
        ("rows.jsonl", "jsonl", {"reward": object()}, "settings travel in the rows"),
        ("rows.jsonl", "jsonl", {"reward": {"measure": "ndcg@5", "unparsed": float("nan")}}, "settings travel"),
        ("rows.jsonl", "jsonl", {"split": "dev"}, "unknown split 'dev'"),
    ],
)
def test_what_is_wrong_is_reported_and_nothing_is_written(file, format, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(SHOP, tmp_path / file, format=format, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file, task = export(SHOP, tmp_path / "rows.jsonl", items=600)
    before = file.read_bytes()

    def broken(self, batch_size=1024):
        yield {"request_id": "a"}
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(task), "rows", broken)
    with pytest.raises(OSError, match="disk is gone"):
        export(SHOP, file, items=600)
    assert file.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [file, file.with_suffix(".task.json")]


def test_folders_are_absolute_because_trainers_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = json.loads(describe_task(SHOP, {"data_dir": "data/beir", "turns": 2}))["settings"]
    assert settings == {"data_dir": str(tmp_path / "data" / "beir"), "turns": 2}
    assert json.loads(describe_task(SHOP, {"data_dir": ""}))["settings"] == {"data_dir": ""}


def test_order_of_the_terms_stays():
    reward = {"measure": "ndcg@5", "terms": {"repetition": -0.1, "copy": 0.3, "format": 0.2}}
    again = json.loads(describe_task(SHOP, {"reward": reward}))["settings"]["reward"]
    assert list(again["terms"]) == ["repetition", "copy", "format"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": "x"}', "no json"])
def test_a_text_that_describes_no_task(text):
    with pytest.raises(ValueError, match="does not describe a task"):
        task_of(text)


def test_an_unknown_id_is_not_kept():
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown id 'Nope-v0'"):
            task_of(describe_task("Nope-v0", {}))


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(app, ["export", *map(str, arguments)])

    def test_verl(self, tmp_path):
        file = tmp_path / "val.parquet"
        result = self.run(SHOP, "--format", "verl", "--output", file, "--split", "val", "--set", "items=600")
        assert result.exit_code == 0, result.output
        assert f"data.val_files={file}" in result.output
        assert "reward.custom_reward_function.path=pkg://rec_gym.adapters.verl" in result.output
        assert "multi_turn" not in result.output
        assert read(file)[0]["data_source"] == f"{SHOP}/val"
        result = self.run(REFINE, "--format", "verl", "--output", file)
        assert f"data.train_files={file}" in result.output
        assert "multi_turn.tool_config_path" in result.output

    def test_openrlhf(self, tmp_path):
        file = tmp_path / "train.jsonl"
        output = self.run(SHOP, "--format", "openrlhf", "--output", file, "--set", "items=600").output
        assert f"--data.prompt_dataset {file}" in output
        path = output.split("--reward.remote_url ")[1].strip()
        assert os.path.isabs(path)
        assert os.path.isfile(path)
        assert read_label(read(file)[0]["label"])[0].name == SHOP
        output = self.run(REFINE, "--format", "openrlhf", "--output", file).output
        assert output.strip().endswith("openrlhf_agent.py")

    def test_plain_rows_and_settings(self, tmp_path):
        file = tmp_path / "rows.jsonl"
        reward = '--set=reward={measure="mrr@10", unparsed=-1}'
        result = self.run(SHOP, "--output", file, "--set", "items=600", "--set", "split=test", reward)
        assert "split test" in result.output
        assert "command line" not in result.output
        task = task_of(read(file)[0]["task"])
        assert (task.split, str(task.reward.measure), task.reward.unparsed) == ("test", "mrr@10", -1.0)

    def test_errors_are_one_line(self, tmp_path):
        result = self.run(SHOP, "--format", "csv", "--output", tmp_path / "rows.csv")
        assert result.exit_code == 2
        assert result.stderr == "Error: unknown format 'csv'; choose from: verl, openrlhf, jsonl\n"


def test_trainers_find_the_files_by_their_paths():
    for arguments, ending in [([], "openrlhf.py"), (["agent"], "openrlhf_agent.py")]:
        command = [sys.executable, "-m", "rec_gym.adapters.openrlhf", *arguments]
        path = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert path.count("\n") == 1
        assert os.path.basename(path.strip()) == ending
        assert os.path.isfile(path.strip())
