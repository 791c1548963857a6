"""Every Python example of the README and the docs runs as it stands, and prints what the page says."""

import doctest
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rec_gym.cards import cards

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# An example, and the output that the page shows directly beneath it.
FENCE = re.compile(r"^```python[ ]*(\w*)[ ]*(\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
# Before an example: what Task.score pays is written to rewards.json when the process ends.
RECORD = """
def _record():
    import atexit, json, pathlib
    import rec_gym

    score, paid = rec_gym.Task.score, []

    def recorded(*args):
        outcomes = score(*args)
        paid.extend(outcomes.rewards.tolist())
        return outcomes

    rec_gym.Task.score = recorded
    atexit.register(lambda: pathlib.Path("rewards.json").write_text(json.dumps(paid)))

_record()
del _record
"""
# Examples that show a failure on purpose: their rewards may be 0, or all the same.
FAILURES: set[str] = set()


def marks(mark: str, module: str) -> list[pytest.MarkDecorator]:
    """An example marked `needs MODULE` runs where that training framework is installed."""
    if mark != "needs":
        return []
    missing = importlib.util.find_spec(module) is None
    return [pytest.mark.trainer, pytest.mark.skipif(missing, reason=f"{module} is not installed")]


EXAMPLES = [
    pytest.param(name, code, output, id=name, marks=marks(mark, module))
    for page in PAGES
    for number, (mark, module, code, output) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")), 1)
    if mark != "skip"  # needs what a reader brings along
    for name in [f"{page.relative_to(ROOT)}-{number}"]
]


def run(code, folder):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.docs
@pytest.mark.parametrize(("name", "code", "output"), EXAMPLES)
def test_example_runs(name, code, output, tmp_path):
    assert "rec_gym" in code  # RECORD imports it, and must not do so in the example's place
    done = run(RECORD + code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if output:
        same = doctest.OutputChecker().check_output(
            output, done.stdout, doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        )
        assert same, f"the page shows\n{output}\nand the example prints\n{done.stdout}"
    paid = json.loads((tmp_path / "rewards.json").read_text())
    if paid and name not in FAILURES:
        assert max(paid) > 0, "a reader takes an example whose rewards are all 0 for broken"
        assert len(paid) == 1 or min(paid) < max(paid), "the rewards of the example do not differ"


def test_the_rewards_of_an_example_are_recorded(tmp_path):
    code = """
import rec_gym
task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600)
episodes, *_ = task.advance(task.start(task.request_ids[:1]), ["lamp"])
print(task.score(task.request_ids[:2], ["lamp", "desk"]).rewards)
"""
    done = run(RECORD + code, tmp_path)
    assert done.returncode == 0, done.stderr
    paid = json.loads((tmp_path / "rewards.json").read_text())
    assert len(paid) == 3
    assert str(paid[1]) in done.stdout or f"{paid[1]:g}" in done.stdout


def test_outputs_are_found_beneath_their_examples():
    outputs = [output for *_, output in (example.values for example in EXAMPLES) if output]
    assert len(outputs) > 15
    # A block of text directly beneath Python must be one that the pattern takes for its output.
    for page in PAGES:
        beneath = re.findall(r"^```\n\n```text\n", page.read_text(encoding="utf-8"), re.MULTILINE)
        found = [output for *_, output in FENCE.findall(page.read_text(encoding="utf-8")) if output]
        assert len(found) == len(beneath), page


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


def test_the_summary_of_the_results_states_the_numbers_of_the_sections():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    summary = page.partition("## Summary\n")[2].partition("\n## ")[0]
    sections = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        sections[re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")] = text
    rows = re.findall(r"^\| \[.*\]\(#([\w-]+)\) \|(.*)\|$", summary, re.MULTILINE)
    assert len(rows) == 12
    for anchor, row in rows:
        *_, measure, before, after, difference, rule = (cell.strip() for cell in row.split("|"))
        section = sections[anchor]
        assert f"| {measure} |" in section
        assert f"| {before} [" in section
        assert f"**{after}**" in section or f"| {after} [" in section
        assert f"| {difference}, p " in section
        assert rule == "not measured" or f"| {rule.split()[-1]} [" in section
