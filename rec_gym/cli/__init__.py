"""The command `rec-gym`. What is heavy is imported inside the commands, so that `--help` is fast."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rec_gym._version import __version__
from rec_gym.cli.data import cache_app
from rec_gym.cli.train import train
from rec_gym.overrides import overrides_of

if TYPE_CHECKING:
    from rec_gym.loop.task import Task

_COMMA = re.compile(r"(?<!\\),")  # a comma inside a policy's text is written `\,`


class _Readable(TyperGroup):
    """Commands whose foreseen errors are one line on standard error, with exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a foreseen error ends it with one line."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if ctx.params.get("debug") or not _foreseen(error):
                raise
            # A KeyError prints its message as a quoted literal.
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"Error: {message}", err=True)
            raise typer.Exit(2) from error


def _foreseen(error: Exception) -> bool:
    from rec_gym.recommenders.base import RecommenderError

    if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone; typer ends quietly
        return False
    if isinstance(error, ImportError):  # of an extra, with the command that installs it; others are bugs
        return "pip install" in str(error)
    return isinstance(error, ValueError | KeyError | TypeError | OSError | RecommenderError)


app = typer.Typer(
    cls=_Readable, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

TaskId = Annotated[str, typer.Argument(metavar="ID", help="A registered id; `rec-gym list` shows them.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="The folder with the data, for ids that need one.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the task; VALUE is TOML, or a plain text. May be repeated.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of whatever is drawn.")]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rec-gym {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Environments in which a language model is trained against a recommender's ranking measure."""


@app.command("list")
def list_ids() -> None:
    """List the registered ids."""
    from rec_gym.cli.show import print_ids

    print_ids()


@app.command()
def info(task_id: TaskId, data_dir: DataDir = None, settings: Settings = None) -> None:
    """Show what an id is: its data, licence, sizes, splits, measures and baselines."""
    from rec_gym.cli.show import print_info

    print_info(task_id, overrides_of(data_dir, settings))


@app.command()
def prepare(
    task_id: TaskId,
    mirror: Annotated[
        str, typer.Option(metavar="URL", help="Fetch from there, in the place of the hub and of other hosts.")
    ] = "",
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Fetch, convert and index the data of an id ahead of its first use."""
    from rec_gym.cli.data import prepare_task

    prepare_task(task_id, overrides_of(data_dir, settings), mirror)


app.add_typer(cache_app, name="cache", help="List what is kept in the cache folder, or remove it.")


@app.command()
def play(
    task_id: TaskId,
    split: Annotated[str, typer.Option(help="The requests to play.")] = "train",
    request: Annotated[str, typer.Option(help="Id of the request to begin with.")] = "",
    top: Annotated[int, typer.Option(min=1, help="Items of a ranking that are shown.")] = 10,
    seed: Seed = 0,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Type queries yourself, and see the ranking, the reward and which relevant items moved."""
    from rec_gym.cli.play import Game, read_lines

    task = _task(task_id, split, overrides_of(data_dir, settings))
    Game(task, top=top, seed=seed, write=typer.echo).play(read_lines(), request)


@app.command()
def evaluate(
    task_id: TaskId,
    policy: Annotated[
        list[str],
        typer.Option(
            metavar="POLICY,...",
            help="Policies by name, or MODULE_OR_FILE:NAME[:ARG]; the others are compared to the first. "
            r"A comma inside a text is written '\,'.",
        ),
    ],
    split: Annotated[str, typer.Option(help="The requests to evaluate on; test has to be asked for.")] = "val",
    measures: Annotated[
        str, typer.Option(metavar="MEASURE,...", help="What to measure.")
    ] = "ndcg@10,ndcg@100,recall@100",
    samples: Annotated[int, typer.Option(min=1, help="Completions for each request, averaged.")] = 1,
    shuffles: Annotated[
        int | None,
        typer.Option(
            min=1, help="Orders in which a request's candidates are given, averaged. [default: 5, if shuffled]"
        ),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests of the split that are drawn. [default: all]")
    ] = None,
    seed: Seed = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Save everything as JSON.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Save the table as CSV.")] = None,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Evaluate policies on a split: means with 95% intervals, and paired differences to the first policy."""
    from rec_gym.evaluation import compare, print_report, save_csv, save_json
    from rec_gym.evaluation import evaluate as evaluate_policy
    from rec_gym.policies import make_policy

    specs = [spec for text in policy for spec in split_list(text)]
    twice = [spec for place, spec in enumerate(specs) if spec in specs[:place]]
    if twice or not specs:
        raise ValueError(f"policy {twice[0]!r} is named twice; name it once" if twice else "name at least one policy")
    overrides = overrides_of(data_dir, settings)
    task = _task(task_id, split, overrides)
    made = {spec: make_policy(spec, task, seed=seed) for spec in specs}  # all are checked before any runs
    names = split_list(measures)
    evaluations = [
        evaluate_policy(
            task, one, name=spec, measures=names, samples=samples, shuffles=shuffles, requests=requests, seed=seed
        )
        for spec, one in made.items()
    ]
    comparison = compare(evaluations, seed=seed)
    if json_file:
        save_json(json_file, comparison, {"overrides": overrides})
    if csv_file:
        save_csv(csv_file, comparison)
    print_report(comparison)


@app.command()
def export(
    task_id: TaskId,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write.")],
    format_: Annotated[str, typer.Option("--format", help="verl, openrlhf or jsonl.")] = "jsonl",
    split: Annotated[str, typer.Option(help="The requests to write.")] = "train",
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Write the rows of a split for a trainer that reads files: prompts and request ids, never gains."""
    from rec_gym.cli.export import export_rows

    export_rows(task_id, output, format_, split, overrides_of(data_dir, settings))


@app.command()
def demo(
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 600,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the curve and the numbers are saved.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Train a small policy on CornerShop with nothing but the reward, and compare it."""
    from rec_gym.demo import run

    run(seed=seed, steps=steps, output=output)


app.command()(train)


def split_list(text: str) -> list[str]:
    r"""The parts of a comma-separated text, blanks around them removed; `\,` is a comma inside a part."""
    return [part.strip().replace("\\,", ",") for part in _COMMA.split(text) if part.strip()]


def _task(task_id: str, split: str, overrides: dict[str, Any]) -> Task:
    from rec_gym import make_task

    return make_task(task_id, **{"split": split, **overrides})


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a title must not fail where the output takes ASCII only
    app()
