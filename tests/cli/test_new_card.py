"""`rec-gym new-card`: what it writes passes its own test, and `rec-gym check`, in fresh processes."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rec_gym.cli import app

runner = CliRunner()


def fresh(folder, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "module", "task_id"), [("my-shop", "my_shop", "MyShop-v0"), ("shop2", "shop2", "Shop2-v0")]
)
def test_what_is_written_passes(name, module, task_id, tmp_path):
    result = runner.invoke(app, ["new-card", name, "--output", str(tmp_path / "cards")])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "cards" / name
    files = {"card.toml", "loader.py", "recommender.py", f"test_{module}.py", "README.md"}
    assert {path.name for path in folder.iterdir()} == files
    assert not any("$" in path.read_text() for path in folder.iterdir())
    assert "4 passed" in fresh(folder, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    if name == "my-shop":
        text = fresh(folder, "-m", "rec_gym.cli", "check", "card.toml")
        assert f"it registers {task_id}" in text
        assert "8 checks: 0 failed" in text


def test_the_test_fails_where_the_code_is_wrong(tmp_path):
    runner.invoke(app, ["new-card", "mine", "--output", str(tmp_path)])
    path = tmp_path / "mine" / "recommender.py"
    path.write_text(path.read_text().replace("if exclude is not None:", "if False:"))
    with pytest.raises(AssertionError, match="were excluded and are ranked"):
        fresh(tmp_path / "mine", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "recommender")


@pytest.mark.parametrize("name", ["My-shop", "my shop", "-shop", "shop-", "../shop", "", "2shop", "my--shop"])
def test_names_are_of_one_form(name, tmp_path):
    result = runner.invoke(app, ["new-card", "--output", str(tmp_path), "--", name])
    assert result.exit_code == 2
    assert "such as my-shop" in result.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine").mkdir()
    result = runner.invoke(app, ["new-card", "mine", "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert "is already there; choose another name" in result.stderr
    assert not list((tmp_path / "mine").iterdir())
