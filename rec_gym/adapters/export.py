"""Exports the rows of a task as a trainer's file.

A row carries the id, the settings and the request id; the scoring process makes the task from them. Gains are never
exported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_gym.adapters.rows import describe_task, task_of
from rec_gym.cache import atomic_path, write_json
from rec_gym.progress import track
from rec_gym.tables import unknown

if TYPE_CHECKING:
    import pyarrow as pa

    from rec_gym.loop.task import Task

# Formats, and the suffixes by which the trainers recognise them.
FORMATS = {"verl": (".parquet",), "openrlhf": (".jsonl", ".json"), "jsonl": (".jsonl", ".json")}
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
    if file.suffix not in FORMATS[format]:
        raise ValueError(f"the name of a file for {format} must end in {FORMATS[format][0]}, not {file.name!r}")
    settings = {"split": split, **settings}
    task = task_of(describe_task(task_id, settings))
    if format != "jsonl" and task.turns.limit > 1 and task.turns.reward != "gain":
        raise ValueError(
            f"{format} pays each search when it is made, and may end an episode before its last turn, but "
            f"turn_reward={task.turns.reward!r} pays at the end; export with turn_reward='gain'"
        )
    if format == "verl" and task.turns.limit > 1:
        task = _with_tool(task, settings)
    rows = _ROWS[format](task, describe_task(task_id, settings), split)
    watched = track(rows, f"Writing {file.name}", len(task))
    with atomic_path(file) as path:
        if format == "verl":
            _write_parquet(path, watched, task.turns.limit > 1)
        else:
            with open(path, "w", encoding="utf-8", newline="\n") as lines:
                lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in watched)
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


_ROWS: dict[str, Callable[[Task, str, str], Iterator[dict[str, Any]]]] = {
    "verl": _verl_rows,
    "openrlhf": _openrlhf_rows,
    "jsonl": _plain_rows,
}


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
