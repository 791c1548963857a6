"""How lines fit into a terminal: words and titles stay whole."""

import random
import re
import textwrap

import pytest
from typer.testing import CliRunner

from rec_gym.cli import app, text
from rec_gym.cli.text import wrapped

SHOP = "RecR1-CornerShop-BM25-v0"
RERANK = "RecR1-CornerShopRerank-BM25-v0"


def test_a_line_is_broken_between_words_and_goes_on_below_its_text():
    line = "*   1. Stainless steel bottle, insulated, 750 ml  [gain 1]"
    assert wrapped(line, 30).splitlines() == [
        "*   1. Stainless steel bottle,",
        "       insulated, 750 ml",
        "       [gain 1]",
    ]
    assert wrapped("  [3] red lamp with shade", 16).splitlines() == ["  [3] red lamp", "      with shade"]
    assert wrapped(line, None) == line
    assert wrapped("short\n\nlines", 10) == "short\n\nlines"


@pytest.mark.parametrize("width", [1, 5, 12])
def test_a_word_that_is_longer_than_a_line_stays_whole(width):
    assert "antidisestablishmentarianism" in wrapped("an antidisestablishmentarianism of x", width).splitlines()


def test_wide_characters_count_twice():
    assert wrapped("東京 大阪 京都", 10).splitlines() == ["東京 大阪", "京都"]


def test_plain_lines_are_broken_as_textwrap_breaks_them():
    draw = random.Random(0)
    for _ in range(300):
        words = ["".join(draw.choices("xyz,-", k=draw.randint(1, 10))) for _ in range(draw.randint(1, 30))]
        line, width = " ".join(words), draw.randint(10, 40)
        assert wrapped(line, width).splitlines() == textwrap.wrap(
            line, width, break_long_words=False, break_on_hyphens=False
        )


@pytest.mark.parametrize("task_id", [SHOP, RERANK])
def test_a_narrow_terminal_shows_what_a_wide_one_does(monkeypatch, task_id):
    def played(width):
        monkeypatch.setattr(text, "terminal_width", lambda: width)
        lines = "warm wool blanket\n3 > 1\nblanket\n:oracle\n:quit\n"
        result = CliRunner().invoke(app, ["play", task_id, "--set", "items=600"], input=lines)
        assert result.exit_code == 0, result.output
        return result.output

    wide, narrow = played(None), played(40)
    assert narrow.split() == wide.split()  # every word is whole, and in its place
    assert max(map(len, wide.splitlines())) > 40
    assert max(map(len, narrow.splitlines())) <= 40
    assert re.search(r"^ {7}\S", narrow, re.MULTILINE)
