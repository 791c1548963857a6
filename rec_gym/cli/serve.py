"""`rec-gym serve`: a registered id behind a port, for OpenEnv clients."""

from __future__ import annotations

from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.overrides import overrides_of


def serve(
    task_id: TaskId,
    host: Annotated[
        str, typer.Option(help="Address to bind; 0.0.0.0 admits other machines, without password or encryption.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    # The defaults are those of `Limits`, which needs the extra; a test compares them.
    max_sessions: Annotated[int, typer.Option(min=1, help="Maximum number of concurrent sessions.")] = 256,
    idle_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds without a reset or a step after which a session ends; 0: never.")
    ] = 3600.0,
    max_message_bytes: Annotated[int, typer.Option(min=1, help="Maximum length of a message, in bytes.")] = 1 << 20,
    scores_each_turn: Annotated[
        bool,
        typer.Option("--scores-each-turn", help="Include measures and terms in observations before the episode ends."),
    ] = False,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Serve an id to OpenEnv clients."""
    from rec_gym.adapters.openenv import make_app, run
    from rec_gym.adapters.openenv_guard import Limits

    limits = Limits(max_sessions, idle_timeout or None, max_message_bytes)
    app = make_app(task_id, limits, scores_each_turn=scores_each_turn, **overrides_of(data_dir, settings))
    run(app, host, port)
