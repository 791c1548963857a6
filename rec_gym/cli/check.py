"""`rec-gym check`: whether a card can be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Seed, Settings
from rec_gym.overrides import overrides_of


def check(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="The TOML file of a card.")],
    seed: Seed = 0,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Check a card: its keys, loader, splits and leaks, and whether its ids pay what they should.

    Exit code 1 if something is wrong. A card is code: its loader and whatever else it names are imported.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rec_gym.cli.card_findings import FAIL, WARN, check_card
    from rec_gym.evaluation.report import print_table

    findings = list(check_card(card, overrides_of(data_dir, settings), seed))
    table = Table()
    for name in ("of", "check", "verdict", "finding"):
        table.add_column(name, overflow="fold")
    for one in findings:
        table.add_row(*map(Text, (one.subject, one.check, one.verdict, one.detail)))
    print_table(Console(), table)
    failed = [one for one in findings if one.verdict == FAIL]
    doubtful = [one for one in findings if one.verdict == WARN]
    typer.echo(f"{len(findings)} checks: {len(failed)} failed, {len(doubtful)} to look at")
    if failed:
        raise typer.Exit(1)
