"""`python -m benchmarks.learning`: makes `docs/results.md` from the kept runs; `run` and `keep` make them.

    python -m benchmarks.learning run words ppo          # the missing runs of two experiments
    python -m benchmarks.learning run office --only seed-0 --data DATA
    python -m benchmarks.learning keep                   # finished runs into the repository
    python -m benchmarks.learning                        # tables and plots

Run everything in the root of a clone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FOLDER = Path("runs/learning")
app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)
Folder = Annotated[Path, typer.Option(help="The folder of all runs.")]


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Without a command: the tables and plots of the page, from the kept runs."""
    if context.invoked_subcommand is None:
        from benchmarks.learning.kept import KEPT
        from benchmarks.learning.report import PAGE, write

        for line in write(KEPT, PAGE):
            print(line)


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Experiments.")],
    only: Annotated[str, typer.Option(help="Only runs whose name contains this text.")] = "",
    data: Annotated[Path | None, typer.Option(help="The folder with cranfield/ and amazon_office_2018/.")] = None,
    folder: Folder = FOLDER,
) -> None:
    """Run what is missing, one run after another."""
    from benchmarks.learning.runner import Places, known, run_experiment

    for experiment in [known(name) for name in names]:
        run_experiment(experiment, Places(folder, data), only)


@app.command()
def keep(folder: Folder = FOLDER) -> None:
    """Compact finished runs into the repository."""
    from benchmarks.learning.kept import keep as keep_all

    for line in keep_all(folder):
        print(line)


if __name__ == "__main__":
    app()
