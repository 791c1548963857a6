"""What the tests of the adapter for TRL share: a small reward, a log, messages, and a trainer that is told what to write."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from rec_gym.adapters.trl import environment_factory, log_episodes, make_dataset

REWARD = {"measure": "ndcg@10", "terms": {"format": 0.1, "repetition": -0.2}, "unparsed": -1}
KEYS = {
    *("measure/ndcg@10", "measure/recall@3", "term/measure", "term/format", "term/repetition", "term/unparsed"),
    *("text/length", "text/repetition", "text/copy", "parse_ok", "clipped", "scored", "groups_without_variance"),
}

EXAMPLES = Path(__file__).parents[3] / "examples"
MISSING = [name for name in ("trl", "peft", "tyro") if importlib.util.find_spec(name) is None]
NEEDS_TRAINER = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
FRAMEWORK_WARNINGS = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:You are using 'environment_factory':UserWarning"),
]


class Log:
    """TRL's log_metric and log_extra; a metric that is logged twice in a call would be averaged with itself."""

    def __init__(self):
        self.metrics, self.extra = {}, {}

    def metric(self, name, value):
        assert name not in self.metrics
        assert type(value) is float
        self.metrics[name] = value

    def column(self, name, values):
        assert name not in self.extra
        assert type(values) is list
        self.extra[name] = values


class Failing:
    """A recommender whose server goes down on one query."""

    query_language = "bag of words"

    def __init__(self, inner):
        self.inner = inner

    def rank(self, queries, k, exclude=None):
        if "crash" in queries:
            raise ConnectionError("the server is down")
        return self.inner.rank(queries, k, exclude)


def message(text):
    return [{"role": "assistant", "content": text}]


def call(query, name="search"):
    calls = [{"type": "function", "function": {"name": name, "arguments": {"query": query}}}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def tool_call(query, name="search"):
    """A call as the model writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {'query': query}})}\n</tool_call>"


def trainer_test(function):
    for mark in (pytest.mark.trainer, pytest.mark.slow, NEEDS_TRAINER, *FRAMEWORK_WARNINGS):
        function = mark(function)
    return function


def the_example():
    """The module examples/train_trl.py."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    import train_trl

    return train_trl


def settings(folder, **more):
    from trl import GRPOConfig

    usual = {
        "output_dir": str(folder),
        "max_steps": 2,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_completion_length": 8,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return GRPOConfig(**usual | more)


def scripted(folder, task, scripts, **config):
    """A trainer whose model writes scripts in place of its own words: the texts of one message after another, for each rollout.

    Returns:
        The trainer, its environments, and for each rollout what was read, as tokens, before each message.
    """
    from trl import GRPOTrainer

    model, tokenizer = the_example().tiny(task)
    made, read, held = [], [[] for _ in scripts], [[] for _ in scripts]

    class Scripted(GRPOTrainer):
        def _generate_single_turn(self, prompt_ids, *args, **kwargs):
            written, rollout = [], -1
            for ids in prompt_ids:  # in the order of the rollouts, of which some may have ended
                rollout += 1
                while held[rollout] != ids[: len(held[rollout])]:
                    rollout += 1
                text = scripts[rollout][len(read[rollout])]
                written.append(tokenizer(text + "<|im_end|>")["input_ids"][: self.max_completion_length])
                read[rollout].append(ids)
                held[rollout] = ids + written[-1]
            return written, None

    def factory():
        made.append(environment_factory(task)())
        return made[-1]

    usual = {"max_steps": 1, "per_device_train_batch_size": len(scripts), "max_completion_length": 1200}
    trainer = Scripted(
        model,
        reward_funcs=log_episodes,
        args=settings(folder, **usual | config),
        train_dataset=make_dataset(task, prompt="tools"),
        processing_class=tokenizer,
        environment_factory=factory,
    )
    return trainer, made, read
