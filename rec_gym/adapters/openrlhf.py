"""OpenRLHF: the reward function.

    --reward.remote_url "$(python -m rec_gym.adapters.openrlhf)"

`rec-gym export ID --format openrlhf` writes the rows. For several turns, use `openrlhf_agent.py`, next to this file:

    --train.agent_func_path "$(python -m rec_gym.adapters.openrlhf agent)"
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_gym.adapters.rows import score_rows, task_of
from rec_gym.loop.actions.tags import THINK
from rec_gym.loop.task import Task

if TYPE_CHECKING:
    import torch

# Texts of special tokens at the end of a completion: <|im_end|>, <|eot_id|>, DeepSeek's with wide bars, </s>, ...
_SPECIAL_AT_END = re.compile(r"(?:\s*(?:<[|｜][^<>|｜]+[|｜]>|</?s>|<(?:eos|bos|pad|end_of_turn|turn\|)>))+\s*\Z")
_TAIL = 64


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_openrlhf: Any
) -> dict[str, Any]:
    """Called by OpenRLHF for each sample, from threads, in batches of one; what waits at the same time is scored together.

    Args:
        queries: prompts and completions in one text, special tokens included.
        prompts: the prompts.
        labels: of the rows, see `rec_gym.adapters.export`.
        _openrlhf: further arguments of later versions.

    Returns:
        `rewards`; `scores` for dynamic filtering, the reward's measure in [0, 1]; `extra_logs`, the parts of the reward.
        float32 tensors [n].

    Raises:
        ValueError, KeyError: a label or a prompt is malformed, or the request is unknown. OpenRLHF logs an exception in
            one inconspicuous line and continues without a reward, which fails later; so the traceback is also written to
            standard error.
    """
    import torch

    try:
        columns = score(queries, prompts, labels)
    except Exception:
        print(
            f"rec_gym could not score labels {list(labels)!r}:\n{traceback.format_exc()}", file=sys.stderr, flush=True
        )
        raise
    tensors: dict[str, torch.Tensor] = {
        name: torch.tensor([row[name] for row in columns], dtype=torch.float32)
        for name, value in columns[0].items()
        if not isinstance(value, str)
    }
    return {"rewards": tensors.pop("score"), "scores": tensors["measure"], "extra_logs": tensors}


def score(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> list[dict[str, float | str]]:
    """The values of `reward_func` before they become tensors: for each sample the score and its parts.

    Raises:
        ValueError, KeyError: see `reward_func`.
    """
    read = [read_description(label) for label in labels]
    completions = [completion_in(*texts) for texts in zip(queries, prompts, strict=True)]
    for description, _ in read:
        task = task_of(description)
        if task.turns.limit > 1:
            raise ValueError(
                f"{task!r} has {task.turns.limit} turns, which need --train.agent_func_path (rec_gym.adapters.openrlhf "
                "says how); for single completions export it with turns=1"
            )
    return score_rows([description for description, _ in read], [name for _, name in read], completions)


def read_label(label: str) -> tuple[Task, str]:
    """The task and the request id that a label names.

    Raises:
        ValueError: the label is not one that rec_gym's export wrote.
    """
    description, request_id = read_description(label)
    return task_of(description), request_id


def read_description(label: str) -> tuple[str, str]:
    """The description of the task and the request id that a label names.

    Raises:
        ValueError: see `read_label`.
    """
    try:
        content = json.loads(label)
        return content["task"], str(content["request_id"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"the label {str(label)[:200]!r} does not name a request; write the rows with `rec-gym export --format openrlhf` and "
            "pass --data.label_key label"
        ) from error


def completion_in(query: str, prompt: str) -> str:
    """The completion after the prompt, as `as_completion` returns it.

    Args:
        query: the decoded tokens of prompt and completion. A prompt that was too long lacks its beginning there.
        prompt: the prompt as it was sent.

    Raises:
        ValueError: not even the end of the prompt is in `query`.
    """
    if query.startswith(prompt):
        completion = query[len(prompt) :]
    else:
        tail = prompt[-_TAIL:]
        ends = [match.start() + len(tail) for match in re.finditer(f"(?={re.escape(tail)})", query)]
        if not ends:
            raise ValueError(
                f"the query does not contain its prompt, which ends in {tail!r}; it begins with {query[:_TAIL]!r}. Raise "
                "--data.max_len if prompts are cut"
            )
        # A prompt may contain its last words twice, and a completion may repeat them: the text before them decides.
        whole = (end for end in ends if prompt.endswith(query[:end]) or query[:end].endswith(prompt))
        completion = query[next(whole, ends[0]) :]
    return as_completion(completion, prompt)


def as_completion(text: str, prompt: str) -> str:
    """What the model wrote, as the action formats read it.

    Special tokens at its end, such as `<|im_end|>` or `</s>`, are removed. If the prompt has already opened the
    reasoning, the completion begins with `<think>`.
    """
    completion = _SPECIAL_AT_END.sub("", text)
    return THINK + completion if prompt.rstrip().endswith(THINK) else completion


if __name__ == "__main__":
    print(Path(__file__).with_name("openrlhf_agent.py" if "agent" in sys.argv[1:] else "openrlhf.py").absolute())
