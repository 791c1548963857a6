"""Exports the rows of a task as a trainer's file.

A row carries the id, the settings and the request id; the scoring process makes the task from them. Gains are never
exported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_gym.adapters.rows import describe_task, task_of
from rec_gym.cache import atomic_path, write_json
from rec_gym.progress import track
from rec_gym.tables import unknown

if TYPE_CHECKING:
    import pyarrow as pa

    from rec_gym.loop.task import Task

SEARCH_TOOL = "search"
_TOOL_PROMPT = (
    "{request}\n\nUse the `search` tool to find the products that %s. The search engine treats each query as "
    "{query_language}. Look at the titles it returns, and search again if another query could do better."
)
_ROW_GROUP = 1024


def export(
    task_id: str, file: str | Path, *, format: str = "jsonl", split: str = "train", **settings: Any
) -> tuple[Path, Task]:
    """Writes one row per request of a split; the same arguments give the same bytes.

    Beside `rows.parquet` stands `rows.task.json`: everything that makes the task, which `rec_gym.make_task` rebuilds from
    `rec_gym.TaskSettings.from_table`.

    Args:
        task_id: a registered id.
        file: the target; written atomically.
        format: `"verl"` (Parquet), `"openrlhf"` (JSON lines) or `"jsonl"` (the rows of `Task.rows` with their task).
        split: the split to export.
        settings: further keywords of `make_task`; the scoring process makes the task with the same ones.

    Returns:
        The file's absolute path, and the exported task.

    Raises:
        ValueError: an unknown format, a setting that is not plain data, or one that the trainer does not support.
    """
    if format not in FORMATS:
        raise ValueError(unknown("format", format, FORMATS))
    file = Path(file).expanduser().absolute()
    form = FORMATS[format]
    if file.suffix not in form.suffixes:
        raise ValueError(f"the name of a file for {format} must end in {form.suffixes[0]}, not {file.name!r}")
    settings = {"split": split, **settings}
    task = task_of(describe_task(task_id, settings))
    if form.pays_each_turn and task.turns.limit > 1 and task.turns.reward != "gain":
        raise ValueError(
            f"{format} pays each search when it is made, and may end an episode before its last turn, but "
            f"turn_reward={task.turns.reward!r} pays at the end; export with turn_reward='gain'"
        )
    if form.has_tool and task.turns.limit > 1:
        task = _with_tool(task, settings)
    rows = form.rows(task, describe_task(task_id, settings), split)
    watched = track(rows, f"Writing {file.name}", len(task))
    with atomic_path(file) as path:
        form.write(path, watched, task.turns.limit > 1)
    write_json(file.with_suffix(".task.json"), task.settings.as_table())
    return file, task


def _with_tool(task: Task, settings: dict[str, Any]) -> Task:
    """A task of several turns as verl's tool plays it; its prompt is added to the settings."""
    if "prompt" in settings:
        return task
    # The usual prompts ask for the query and nothing else; a model that calls a tool needs to be told about it.
    if task.dataset.is_history:
        shopper, wanted = "A shopper bought these products, oldest first", "this shopper will buy next"
    else:
        shopper, wanted = "A shopper says", "match best"
    user = f"{shopper}:\n{_TOOL_PROMPT % wanted}"
    settings["prompt"] = {"system": "You find products in a shop.", "user": user}
    return task.replace(prompt=settings["prompt"])


def _verl_rows(task: Task, description: str, split: str) -> Iterator[dict[str, Any]]:
    """Rows as verl's RLHFDataset reads them; `data_source` names them in its metrics."""
    for index, row in enumerate(task.rows()):
        request_id = row["request_id"]
        extra: dict[str, Any] = {"index": index, "split": split, "request_id": request_id, "task": description}
        exported = {
            "data_source": f"{task.name}/{split}",
            "prompt": row["messages"],
            "ability": "recommendation",
            "reward_model": {"style": "rule", "ground_truth": request_id},
            "extra_info": extra,
        }
        if task.turns.limit > 1:
            exported["agent_name"] = "tool_agent"
            start = {"request_id": request_id, "task": description}
            extra |= {"need_tools_kwargs": True, "tools_kwargs": {SEARCH_TOOL: {"create_kwargs": start}}}
        yield exported


def _openrlhf_rows(task: Task, description: str, split: str) -> Iterator[dict[str, Any]]:
    """Rows as OpenRLHF's PromptDataset reads them; `datasource` names them in its metrics."""
    for row in task.rows():
        yield {
            "prompt": row["prompt"],
            "messages": row["messages"],
            "label": json.dumps({"request_id": row["request_id"], "task": description}, ensure_ascii=False),
            "datasource": f"{task.name}/{split}",
        }


def _plain_rows(task: Task, description: str, split: str) -> Iterator[dict[str, Any]]:
    for row in task.rows():
        yield {**row, "split": split, "task": description}


def _write_lines(path: Path, rows: Iterable[dict[str, Any]], with_tool: bool) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]], with_tool: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(with_tool)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _schema(with_tool: bool) -> pa.Schema:
    import pyarrow as pa

    text = pa.string()
    extra = [("index", pa.int64()), ("split", text), ("request_id", text), ("task", text)]
    columns = [
        ("data_source", text),
        ("prompt", pa.list_(pa.struct([("role", text), ("content", text)]))),
        ("ability", text),
        ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
    ]
    if not with_tool:
        return pa.schema([*columns, ("extra_info", pa.struct(extra))])
    start = pa.struct([("request_id", text), ("task", text)])
    tools = pa.struct([(SEARCH_TOOL, pa.struct([("create_kwargs", start)]))])
    extra += [("need_tools_kwargs", pa.bool_()), ("tools_kwargs", tools)]
    return pa.schema([*columns, ("extra_info", pa.struct(extra)), ("agent_name", text)])


def _verl_options(file: Path, split: str, turns: int) -> list[str]:
    lines = [
        f"data.{'train' if split == 'train' else 'val'}_files={file}",
        "reward.custom_reward_function.path=pkg://rec_gym.adapters.verl",
        "reward.custom_reward_function.name=compute_score_async",
    ]
    if turns > 1:
        multi_turn = "actor_rollout_ref.rollout.multi_turn"
        lines += [
            f"{multi_turn}.enable=True",
            f"{multi_turn}.tool_config_path=TOOL.yaml  # docs/adapters/verl.md shows the file",
            f"{multi_turn}.max_assistant_turns={turns + 1}  # {turns} searches, and a last word",
        ]
    return lines


def _openrlhf_options(file: Path, split: str, turns: int) -> list[str]:
    from rec_gym import adapters

    folder = Path(adapters.__file__).parent.absolute()
    return [
        f"--{'data.prompt_dataset' if split == 'train' else 'eval.dataset'} {file}",
        "--data.input_key messages --data.apply_chat_template --data.label_key label",
        f"--train.agent_func_path {folder / 'openrlhf_agent.py'}"
        if turns > 1
        else f"--reward.remote_url {folder / 'openrlhf.py'}",
    ]


@dataclass(frozen=True)
class Format:
    """A trainer's file.

    Attributes:
        suffixes: by which the trainer recognises it.
        rows: from the task, its description and the split to the rows.
        write: writes rows to a path; told whether the rows carry a tool.
        options: what the trainer's command line has to say about the file: from its path, the split and the turns to lines.
        pays_each_turn: whether the trainer pays each search when it is made.
        has_tool: whether a task of several turns is played with a search tool.
    """

    suffixes: tuple[str, ...]
    rows: Callable[[Task, str, str], Iterator[dict[str, Any]]]
    write: Callable[[Path, Iterable[dict[str, Any]], bool], None]
    options: Callable[[Path, str, int], list[str]] = lambda file, split, turns: []
    pays_each_turn: bool = False
    has_tool: bool = False


FORMATS = {
    "verl": Format((".parquet",), _verl_rows, _write_parquet, _verl_options, pays_each_turn=True, has_tool=True),
    "openrlhf": Format((".jsonl", ".json"), _openrlhf_rows, _write_lines, _openrlhf_options, pays_each_turn=True),
    "jsonl": Format((".jsonl", ".json"), _plain_rows, _write_lines),
}
