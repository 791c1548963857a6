"""`rec-gym export`: rows for a trainer, and what its command line has to say about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def export_rows(task_id: str, file: Path, format: str, split: str, overrides: Mapping[str, Any]) -> None:
    """Writes the file and says how the trainer is told of it.

    Raises:
        ValueError, TypeError, FetchError: as `rec_gym.adapters.export.export`.
    """
    from rec_gym.adapters.export import export

    settings = dict(overrides)
    written, task = export(task_id, file, format=format, split=settings.pop("split", split), **settings)
    typer.echo(f"{written}: {len(task):,} rows of {task_id}, split {task.split}")
    lines = _COMMANDS[format](written, task.split, task.turns.limit)
    if lines:
        typer.echo(f"\nFor the command line of {format}:")
    for line in lines:
        typer.echo(f"    {line}")


def _verl(file: Path, split: str, turns: int) -> list[str]:
    lines = [
        f"data.{'train' if split == 'train' else 'val'}_files={file}",
        "reward.custom_reward_function.path=pkg://rec_gym.adapters.verl",
        "reward.custom_reward_function.name=compute_score",
    ]
    if turns > 1:
        multi_turn = "actor_rollout_ref.rollout.multi_turn"
        lines += [
            f"{multi_turn}.enable=True",
            f"{multi_turn}.tool_config_path=TOOL.yaml  # docs/adapters/verl.md shows the file",
            f"{multi_turn}.max_assistant_turns={turns + 1}  # {turns} searches, and a last word",
        ]
    return lines


def _openrlhf(file: Path, split: str, turns: int) -> list[str]:
    from rec_gym import adapters

    folder = Path(adapters.__file__).parent.absolute()
    return [
        f"--{'data.prompt_dataset' if split == 'train' else 'eval.dataset'} {file}",
        "--data.input_key messages --data.apply_chat_template --data.label_key label",
        f"--train.agent_func_path {folder / 'openrlhf_agent.py'}"
        if turns > 1
        else f"--reward.remote_url {folder / 'openrlhf.py'}",
    ]


_COMMANDS = {"verl": _verl, "openrlhf": _openrlhf, "jsonl": lambda file, split, turns: []}
