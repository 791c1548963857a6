"""The example that trains with TRL: it runs from the command line, over one turn and over several."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = [pytest.mark.trainer, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_trl.py"
TINY = ["--items", "600", "--groups", "2", "--group_size", "4", "--max_tokens", "8", "--eval_batch", "256"]


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *TINY, "--output", str(folder), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "results.json").read_text()), done.stdout


def test_one_turn(tmp_path):
    results, printed = run(tmp_path / "out", "--steps", "2", "--eval_every", "2", "--seed", "3")
    assert [point["step"] for point in results["val"]] == [0, 2]
    assert {"ndcg@10", "ndcg@100", "reward"} <= results["val"][0].keys()
    assert (results["split"], results["id"]) == ("test", "RecR1-CornerShop-BM25-v0")
    assert [policy["policy"] for policy in results["policies"]] == ["Raw", "trained"]
    assert results["arguments"]["seed"] == 3
    assert {"measure/ndcg@10", "term/measure", "text/copy", "parse_ok"} <= results["log"][0].keys()
    assert "val after 2 steps" in printed
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_several_turns(tmp_path):
    results, _ = run(tmp_path / "out", "--turns", "3", "--steps", "1", "--eval_every", "0", "--lora_rank", "2")
    assert (results["val"], results["id"]) == ([], "RecR1-CornerShopRefine-BM25-v0")
    assert {"measure/ndcg@10", "searches", "rewards/SearchEnvironment/mean"} <= results["log"][0].keys()
    assert (tmp_path / "out" / "adapter_config.json").is_file()
