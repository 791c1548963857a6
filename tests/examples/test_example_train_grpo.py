"""GRPO in plain torch: what a step computes, resuming after a kill, and the script as a user runs it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for module in ("transformers", "peft", "tyro"):
    pytest.importorskip(module)
EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import grpo  # noqa: E402
import hf_policy  # noqa: E402
import make_model  # noqa: E402
import train_grpo  # noqa: E402

pytestmark = [pytest.mark.trainer, pytest.mark.filterwarnings("default")]
TIMES = ("seconds_rollout", "seconds_learn", "processor_seconds")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_model.main(make_model.Tiny(path, hidden=32, layers=1, items=600))
    return path


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_all_files_of_a_model_have_the_mode_of_a_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        make_model.main(make_model.Tiny(tmp_path / "tiny", hidden=32, layers=1, items=600))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tiny").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)
    assert "model.safetensors" in modes
    assert stat.S_IMODE((tmp_path / "tiny").stat().st_mode) == 0o777 & ~umask


@pytest.fixture
def arguments(model, tmp_path):
    return train_grpo.Arguments(
        model=str(model), output=tmp_path / "run", set=("action=append", "items=600"), steps=4, prompts=4, group_size=4,
        learning_rate=1e-2, warmup=2, val_every=2, val_requests=10, test_requests=10, checkpoint_every=2,
    )  # fmt: skip


def curve(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


def weights(trainer):
    return torch.cat([weight.detach().ravel() for weight in trainer.policy.model.parameters()])


def pay(trainer, rewards):
    """Lets the trainer's environment pay something else: a function of the actions."""
    real = trainer.env.step

    def step(actions):
        observations, _, *rest = real(actions)
        return observations, rewards(actions), *rest

    trainer.env.step = step


def test_the_script_trains_and_keeps_what_it_says(arguments, model, tmp_path):
    command = [
        sys.executable, EXAMPLES / "train_grpo.py", "--model", model, "--output", tmp_path / "run", "--steps", "2",
        "--prompts", "2", "--group-size", "4", "--set", "action=append", "--set", "items=600", "--val-every", "1",
        "--val-requests", "8", "--test-requests", "8", "--test-splits", "test", "ood-type", "--kl", "0.1",
        "--updates", "2", "--lora-rank", "2", "--bf16",
    ]  # fmt: skip
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["id"], run["arguments"]["lora_rank"], len(run["curve"])) == ("RecR1-CornerShop-BM25-v0", 2, 2)
    assert {"reward", "flat_groups", "length", "repetition", "copy", "kl", "clipped", "val"} <= set(run["curve"][0])
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000
    for split in ("test", "ood-type"):
        saved = json.loads((tmp_path / "run" / f"evaluation-{split}.json").read_text())
        assert [one["policy"] for one in saved["policies"]] == ["raw", "trained"]
        assert (saved["split"], saved["n"]) == (split, 8)
    assert (tmp_path / "run" / "model" / "adapter_config.json").exists()


@pytest.mark.parametrize(("rank", "every"), [(0, 2), (2, 100)])
def test_a_killed_run_goes_on_with_the_same_curve(arguments, model, tmp_path, rank, every):
    """Killed after its first checkpoint, or (with a new adapter, whose weights are random) before it."""
    arguments = replace(arguments, steps=20, val_every=10, lora_rank=rank, checkpoint_every=every)
    train_grpo.main(arguments)
    command = [
        sys.executable, EXAMPLES / "train_grpo.py", "--model", model, "--output", tmp_path / "killed", "--steps", "20",
        "--prompts", "4", "--group-size", "4", "--set", "action=append", "--set", "items=600", "--learning-rate", "1e-2",
        "--warmup", "2", "--val-every", "10", "--val-requests", "10", "--test-requests", "10",
        "--checkpoint-every", str(every), "--lora-rank", str(rank),
    ]  # fmt: skip
    log = tmp_path / "killed" / "metrics.jsonl"
    running = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and not (log.is_file() and log.read_text().count("\n") >= 3):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "killed" / "run.json").exists()
    assert (tmp_path / "killed" / "checkpoint").exists() == (every < 3)
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    assert curve(tmp_path / "killed") == curve(tmp_path / "run")
    with pytest.raises(SystemExit, match="other arguments"):
        train_grpo.main(replace(arguments, seed=1))


def test_help_waits_for_nothing_that_is_large():
    code = (
        "import atexit, runpy, sys\n"
        "large = {'torch', 'transformers', 'peft', 'scipy', 'numba', 'gymnasium'}\n"
        "atexit.register(lambda: print('loaded', sorted(large & set(sys.modules))))\n"
        "sys.argv = ['train_grpo.py', '--help']\n"
        f"runpy.run_path({str(EXAMPLES / 'train_grpo.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--learning-rate" in done.stdout
    assert done.stdout.rstrip().endswith("loaded []")


def test_a_line_that_a_kill_cut_off_is_no_obstacle(arguments):
    train_grpo.main(replace(arguments, steps=2))
    before = curve(arguments.output)
    with (arguments.output / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "rew')
    train_grpo.main(replace(arguments, steps=2))
    assert curve(arguments.output) == before


def test_a_missing_split_is_reported_at_once(arguments):
    with pytest.raises(ValueError, match="nowhere"):
        grpo.Trainer(replace(arguments, test_splits=("nowhere",)))


def test_an_untrained_policy_is_evaluated_too(arguments):
    train_grpo.main(replace(arguments, steps=0))
    saved = json.loads((arguments.output / "evaluation-test.json").read_text())
    assert saved["policies"][1]["policy"] == "trained"
    assert json.loads((arguments.output / "run.json").read_text())["curve"] == []


def test_micro_batches_change_nothing(arguments):
    whole, parts = grpo.Trainer(arguments), grpo.Trainer(replace(arguments, micro_batch=3))
    for trainer in (whole, parts):
        trainer.step(0)
    assert torch.allclose(weights(whole), weights(parts), atol=1e-5)


def test_it_learns_what_is_rewarded(arguments):
    """Paid for the share of letters that are an e, it comes to write words with many of them."""
    arguments = replace(arguments, learning_rate=2e-2, prompts=8, group_size=16, max_new_tokens=2, damping=0.0)
    trainer = grpo.Trainer(arguments)

    pay(trainer, lambda actions: np.array([text.count("e") / max(1, len(text)) for text in actions]))
    rewards = [trainer.step(number)["reward"] for number in range(40)]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.1


def test_groups_without_variance_teach_nothing_and_are_counted(arguments):
    trainer = grpo.Trainer(replace(arguments, set=(*arguments.set, 'reward="hit@1"'), measure="hit@1"))
    before = weights(trainer)
    pay(trainer, lambda actions: np.full(16, 0.5))
    found = trainer.step(0)
    assert found["flat_groups"] == 1.0
    assert found["gradient"] == 0.0
    assert torch.equal(before, weights(trainer))


@pytest.mark.parametrize("positive", [False, True])
def test_equal_rewards_are_flat_whatever_rounding_does(arguments, positive):
    """The mean of 48 times 0.1 is not 0.1."""
    trainer = grpo.Trainer(replace(arguments, prompts=2, group_size=48, positive=positive))
    before = weights(trainer)
    pay(trainer, lambda actions: np.full(96, 0.1))
    assert trainer.step(0)["flat_groups"] == 1.0
    assert torch.equal(before, weights(trainer))


@pytest.mark.parametrize(
    ("changes", "message"), [({"model": "x.gguf"}, "unpack"), ({"kl": 1.0, "positive": True}, "--kl")]
)
def test_what_cannot_be_is_refused(arguments, changes, message):
    with pytest.raises(SystemExit, match=message):
        train_grpo.main(replace(arguments, **changes))
    assert not arguments.output.exists()


def test_an_adapter_goes_on_with_its_own_rank_only(arguments):
    train_grpo.main(replace(arguments, steps=1, lora_rank=2))
    again = replace(arguments, model=str(arguments.output / "model"), output=arguments.output / "again")
    with pytest.raises(SystemExit, match="--lora-rank to its rank"):
        grpo.Trainer(again)
    with pytest.raises(ValueError, match="of rank 2"):
        grpo.Trainer(replace(again, lora_rank=4))
    trained = hf_policy.HFPolicy(again.model).model.state_dict()
    found = grpo.Trainer(replace(again, lora_rank=2)).policy.model.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in trained.items())
    assert any(weight.any() for name, weight in found.items() if "lora_B" in name)  # a new one would be zero there


def test_candidates_are_put_into_order(arguments):
    train_grpo.main(replace(arguments, id="RecR1-CornerShopRerank-BM25-v0", set=("action=order", "items=600"), steps=1))
    saved = json.loads((arguments.output / "evaluation-test.json").read_text())
    assert [one["policy"] for one in saved["policies"]] == ["given-order", "trained"]


def test_the_floor_is_the_reward_of_writing_nothing(arguments):
    trainer = grpo.Trainer(replace(arguments, floor_steps=1))
    pay(trainer, lambda actions: np.full(16, -1.0))
    found = trainer.step(0)
    assert found["reward"] == -1.0
    assert found["flat_groups"] == 1.0
    assert found["best_of_group"] == -1.0


def test_episodes_of_several_turns(arguments):
    trainer = grpo.Trainer(replace(arguments, id="RecR1-CornerShopRefine-BM25-v0"))
    ids = trainer.task.request_ids[:4]
    turns, returns, _ = trainer.play(ids, seed=0)
    assert len(turns) == 3
    episodes = trainer.task.start([name for name in ids for _ in range(4)])
    paid = np.zeros(16)
    for turn in turns:
        episodes, outcomes, _ = trainer.task.advance(episodes, turn.samples.texts)
        paid += outcomes.rewards
    assert np.array_equal(paid, returns)
    assert np.isfinite(trainer.step(0)["gradient"])


def test_prompts_and_completions_that_are_cut_are_counted(arguments):
    found = grpo.Trainer(arguments).step(0)
    assert found["prompts_cut"] == 0
    found = grpo.Trainer(replace(arguments, max_prompt_tokens=3, max_new_tokens=1)).step(0)
    assert found["prompts_cut"] == 1
    assert found["completions_cut"] > 0.9  # the end is one token of a thousand


def test_several_updates_are_clipped(arguments):
    found = grpo.Trainer(replace(arguments, updates=4, learning_rate=0.1, warmup=1, clip=0.01)).step(0)
    assert 0 < found["clipped"] <= 1


def test_the_divergence_is_zero_at_the_start_and_grows(arguments):
    trainer = grpo.Trainer(replace(arguments, kl=0.1, warmup=1))
    first, second = trainer.step(0)["kl"], trainer.step(1)["kl"]
    assert abs(first) < 1e-6 < second


def test_tensorboard_gets_the_curve_where_it_is_installed(arguments):
    pytest.importorskip("tensorboard")
    train_grpo.main(replace(arguments, steps=1, output=arguments.output.with_name("board")))
    assert any(name.startswith("events") for name in os.listdir(arguments.output.with_name("board") / "tensorboard"))
