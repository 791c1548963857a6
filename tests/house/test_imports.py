"""What an import costs, and which way imports run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rec_gym

PACKAGE = Path(rec_gym.__file__).parent
HEAVY = {"torch", "faiss", "numba", "pyarrow", "scipy", "pandas", "matplotlib", "rich", "typer", "transformers"}

# Floors from the ground up: a module imports from its own floor or from those below it.
FLOORS = [
    {"_version", "tables", "resolving", "registry", "words", "draws", "progress", "disk", "cache", "overrides"},
    {"columns", "catalog", "request_columns", "filters", "dataset", "ranking", "fusion"},
    {"measures", "fetching"},
    {"recommenders", "datasets"},
    {"loop"},
    {"rendering", "spaces", "card_checks", "cards", "making"},
    {"env", "vector_env", "policies", "evaluation", "testing"},
    {"serving"},
    {"adapters"},
    {"cli", "demo"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- floors -->", "<!-- /floors -->"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path: Path) -> set[str]:
    """The first-level names of this package that a file imports, wherever in the file, types aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("rec_gym.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in LEVEL, f"{room} is on no floor yet; give it one"
    upwards = {name for name in imported(path) if LEVEL[name] > LEVEL[room]}
    assert not upwards, f"{room} must not import from {upwards}"


def floors_as_markdown() -> str:
    """The floors as docs/architecture.md lists them, one per line."""
    lines = [f"{level}. {', '.join(f'`{name}`' for name in sorted(names))}" for level, names in enumerate(FLOORS, 1)]
    return "\n".join(lines)


def test_the_architecture_page_shows_these_floors():
    page = ARCHITECTURE.read_text(encoding="utf-8")
    assert (page.count(BEGIN), page.count(END)) == (1, 1)
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    expected = floors_as_markdown()
    assert shown == expected, f"between the marks of {ARCHITECTURE.name} there must be:\n{expected}"


def test_nothing_but_the_command_line_imports_an_adapter():
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0]
        assert room == "adapters" or room.startswith("cli") or "adapters" not in imported(path)


def test_import_is_silent_and_light():
    code = f"import sys, rec_gym; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", sorted(rec_gym._LAZY))
def test_public_names_and_modules_are_loaded_when_they_are_asked_for(name):
    # Each in a process of its own: elsewhere another import would have loaded it.
    code = f"import rec_gym; assert {name!r} in dir(rec_gym) and {name!r} not in vars(rec_gym); print(rec_gym.{name})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert name in done.stdout


def test_type_checkers_know_every_lazy_name():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    names = [alias.asname for node in block.body for alias in node.names]
    assert sorted(names) == sorted(rec_gym._LAZY)


def test_every_public_name_can_be_had():
    for name in rec_gym.__all__:
        assert getattr(rec_gym, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = rec_gym.nope
