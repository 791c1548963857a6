"""The wheel: what is in it, and that it works away from the source."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import rec_gym
from rec_gym.cards import cards

ROOT = Path(rec_gym.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("rec_gym-*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rec_gym"}
    assert {f"rec_gym/envs/{path.name}" for path in (ROOT / "envs").iterdir() if path.is_file()} <= set(names)
    assert "rec_gym/py.typed" in names
    sources = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "rec_gym").rglob("*") if path.suffix in (".py", ".txt")
    }
    assert sources <= set(names), "a package or a data file is missing from setup.cfg"


@pytest.mark.slow
@pytest.mark.release
def test_an_installed_wheel_registers_every_card(wheel, tmp_path):
    """With its declared dependencies only, in an empty environment, from an empty directory."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True)
    (tmp_path / "empty").mkdir()
    code = (
        "import gymnasium, rec_gym, importlib.util as u; assert rec_gym.__file__.startswith(__import__('sys').prefix); "
        f"print([i for i in {sorted(cards())!r} if i not in gymnasium.registry], u.find_spec('envs'), u.find_spec('tests')); "
        "env = gymnasium.make('RecR1-CornerShop-BM25-v0', items=600); env.reset(seed=0); print(env.step('lamp')[1] >= 0)"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path / "empty", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[] None None", "True"]
    listed = subprocess.run(
        [python.with_name("rec-gym"), "list"], cwd=tmp_path / "empty", capture_output=True, text=True
    )
    assert "RecR1-CornerShop-BM25-v0" in listed.stdout, listed.stderr
