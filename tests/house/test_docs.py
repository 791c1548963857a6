"""Every Python example of the README and the docs runs as it stands."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rec_gym.cards import cards

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python[ ]*(\w*)[ ]*(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def marks(mark: str, module: str) -> list[pytest.MarkDecorator]:
    """An example marked `needs MODULE` runs where that training framework is installed."""
    if mark != "needs":
        return []
    missing = importlib.util.find_spec(module) is None
    return [pytest.mark.trainer, pytest.mark.skipif(missing, reason=f"{module} is not installed")]


EXAMPLES = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}", marks=marks(mark, module))
    for page in PAGES
    for number, (mark, module, code) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")), 1)
    if mark != "skip"  # needs what a reader brings along
]


@pytest.mark.docs
@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_readme_names_every_environment():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    # Ids that differ from another in the recommender only are named by their rule.
    named = [re.sub("-(Dense|Hybrid)-", "-BM25-", name) for name in cards()]
    assert [
        name for name, rule in zip(cards(), named, strict=True) if f"`{name}`" not in text and f"`{rule}`" not in text
    ] == []


def test_no_placeholder_is_left():
    for page in PAGES:
        assert not re.search(r"\b[A-Z]+_(OUTPUT|TABLE)\b", page.read_text(encoding="utf-8")), page
