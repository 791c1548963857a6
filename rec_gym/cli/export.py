"""`rec-gym export`: rows for a trainer, and what its command line has to say about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.overrides import overrides_of


def export(
    task_id: TaskId,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    format_: Annotated[str, typer.Option("--format", help="verl, openrlhf or jsonl.")] = "jsonl",
    split: Annotated[str, typer.Option(help="The requests to write.")] = "train",
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Write a split as a file for a trainer.

    A row holds the prompt, the request id and the settings of the task; never gains.
    """
    from rec_gym.adapters.export import export as export_rows

    overrides = overrides_of(data_dir, settings)
    file, task = export_rows(task_id, output, format=format_, split=overrides.pop("split", split), **overrides)
    typer.echo(f"{file}: {len(task):,} rows of {task_id}, split {task.split}")
    lines = _COMMANDS[format_](file, task.split, task.turns.limit)
    if lines:
        typer.echo(f"\nFor the command line of {format_}:")
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
