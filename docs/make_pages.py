"""Writes the page of each environment family, their list, and the table of data sets in data.md, from the cards.

`python docs/make_pages.py` writes the files that have changed; with `--check` it names stale files, and fails if there are any.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rec_gym.cards import Card, cards
from rec_gym.datasets.store import get_data
from rec_gym.measures import Measure
from rec_gym.resolving import resolve

DOCS = Path(__file__).parent
BEGIN, END = "<!-- made by make_pages.py: begin -->", "<!-- made by make_pages.py: end -->"
MEASURES = ("ndcg@10", "ndcg@100", "recall@100")
SEARCH, NEXT_ITEM = "search", "next item"

ACTION = """\
Text: whatever the policy wrote. With the default action format `plain` the whole text is the query, except for one leading
closed `<think>…</think>`, which is removed. A text that does not parse earns 0, or the reward's `unparsed`. `action=` selects
another format, see [the loop](../loop.md).
"""
OBSERVATION = {
    SEARCH: "The shopper's text.\n",
    NEXT_ITEM: "The titles of the last ten items of the history, oldest first, one per line, as `Item 1: title`.\n",
}
PROMPT = (
    'With `observation="prompt"`, the rendered prompt around it. The policy never sees the catalogue or the gains.\n'
)
TURNS = """\
If an episode has several turns, the observation also holds every earlier query and the titles of its top results.
"""
HISTORY_NOTE = """\
The history's own items are left out of the ranking (`exclude_history=True`). `popularity` in the catalogue is the number of
users in the train split who have the item.
"""


def families() -> dict[str, Card]:
    """The packaged cards by the name of their page, in the order of their titles."""
    unique = {card.path: card for card in cards().values() if Path(card.path).name == card.path}
    return {Path(path).stem: card for path, card in sorted(unique.items(), key=lambda pair: pair[1].content["title"])}


def page(card: Card) -> str:
    """The page of one family."""
    content = card.content
    task = content["task"]
    parts = [
        f"# {content['title']}\n",
        "*This page is generated from the card: edit the card, then run `python docs/make_pages.py`.*\n",
        "## Description\n",
        f"{_coded(_flowing(content['summary']))}\n",
        "## Action\n",
        _action(card),
        "## Observation\n",
        OBSERVATION[task] + PROMPT + (TURNS if any(env.get("turns", 1) > 1 for env in content["env"]) else ""),
        "## Reward\n",
        _reward(card),
        "## Splits\n",
        f"{_coded(_flowing(content['splits']))}\n\nThe default split is train; an evaluation names its split.\n",
        "## Data and licence\n",
        *_data(card),
        "## Baselines\n",
        _baselines(content.get("baselines", [])),
        "## Ids\n",
        *_ids(card),
    ]
    return "\n".join(parts)


def index() -> str:
    """The list of all ids."""
    rows = [
        (f"`{env['id']}`", f"[{card.content['title']}]({name}.md)", card.content["task"], _measure(env))
        for name, card in families().items()
        for env in card.content["env"]
    ]
    title = "# Environments\n\nEvery registered id, with the page of its family.\n"
    return title + "\n" + _table(("id", "data", "task", "reward"), rows)


def table_of_data() -> str:
    """One row per family, for the page about data."""
    rows = []
    for name, card in families().items():
        content, sizes = card.content, card.content.get("sizes", {})
        rows.append(
            (
                f"[{content['title']}](environments/{name}.md)",
                *(_size(sizes, kind) for kind in ("items", "requests", "judgements")),
                content["licence"],
                content["task"],
                _measure(content["env"][0]),
                _first_baseline(content.get("baselines", [])),
            )
        )
    header = ("data", "items", "requests", "judgements", "licence", "task", "measure", "baseline")
    return _table(header, rows)


def pages() -> dict[Path, str]:
    """Every generated file, with its whole text."""
    made = {DOCS / "environments" / f"{name}.md": page(card) for name, card in families().items()}
    data = DOCS / "data.md"
    text = data.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{data} lacks the lines {BEGIN!r} and {END!r} around its table")
    made[DOCS / "environments" / "index.md"] = index()
    made[data] = f"{before}{BEGIN}\n\n{table_of_data()}\n{END}{after}"
    return made


def stale() -> list[Path]:
    """The files whose text differs from what the cards give, and pages of families that no longer exist."""
    made = pages()
    there = set((DOCS / "environments").glob("*.md"))
    changed = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    return sorted(changed + list(there - made.keys()))


def _action(card: Card) -> str:
    """The default format, and the ids with another one."""
    others = [(env["id"], *_format(env)) for env in card.content["env"] if "action" in env]
    lines = [
        f"`{name}` takes the format `{action}`, see [tasks](../tasks.md)."
        + (f" Filters may be set on {', '.join(options['columns'])}." if "columns" in options else "")
        for name, action, options in others
    ]
    return ACTION + "".join(f"\n{line}\n" for line in lines)


def _format(env: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name of an id's action format, and its options."""
    spec = env.get("action", "plain")
    return (spec, {}) if isinstance(spec, str) else (spec["name"], spec)


def _what(env: Mapping[str, Any]) -> str:
    """What the measure is computed on."""
    ranked = {
        "order": "the candidates in the written order",
        "titles": "the items that the titles find",
        "structured": "the ranking that the query finds among the items that pass the filters",
    }
    return ranked.get(_format(env)[0], "the ranking that the text finds")


def _reward(card: Card) -> str:
    lines = [
        f"`{env['id']}`: {_measure(env)} of {_what(env)}"
        + (
            f", over {env['turns']} turns, each of which pays what it adds to the best turn before it"
            if "turns" in env
            else ""
        )
        + "."
        for env in card.content["env"]
    ]
    if len(lines) > 1 and len({_measure(env) for env in card.content["env"] if "turns" not in env}) == 1:
        lines = [lines[0].replace(f"`{card.ids[0]}`", "All ids"), *(line for line in lines if " turns" in line)]
    paper = card.content.get("protocols", {}).get("paper")
    if paper:
        cutoffs = ", ".join(
            f"{'other splits' if split == 'default' else split} {k}" for split, k in paper["cutoffs"].items()
        )
        options = "".join(f", `{key}={_literal(value)}`" for key, value in paper.get("options", {}).items())
        lines.append(
            '\n`protocol="paper"` takes Rec-R1\'s prompt, answer format and reward (-2 for a wrong format, 0 for an NDCG of 0, '
            f"otherwise 0.1 + NDCG); cut-offs: {cutoffs}{options}."
        )
    if card.content["task"] == NEXT_ITEM:
        lines.append("\n" + HISTORY_NOTE.rstrip())
    return "\n".join(lines) + "\n"


def _data(card: Card) -> Iterator[str]:
    content = card.content
    if content.get("sizes"):
        yield _table(("what", "count"), [(key, _count(value)) for key, value in content["sizes"].items()])
    yield f"Licence: {content['licence']}.\n"
    for key, label in (("citation", "Citation"), ("homepage", "Home")):
        if content.get(key):
            yield f"{label}: {content[key].rstrip('.') + '.' if key == 'citation' else '<' + content[key] + '>'}\n"
    how = get_data(content["loader"])
    if how and not card.embedded:
        fetched = any(card.is_fetched(task_id) for task_id in card.ids)
        first = "The data are fetched on first use, see [data](../data.md). " if fetched else ""
        yield f"{first}{_coded(_angled(_flowing(how)))}\n"
    yield "Options of the loader, for `gym.make` or `make_task`:\n"
    meanings = dict(_documented(resolve(content["loader"])))
    rows = [(f"`{key}`", f"`{_literal(value)}`", meanings.get(key, "")) for key, value in card.options.items()]
    yield _table(("option", "default", "meaning"), rows)


def _ids(card: Card) -> Iterator[str]:
    rows = []
    for env in card.content["env"]:
        options = ", ".join(f"`{key}={_literal(value)}`" for key, value in env.get("options", {}).items())
        rows.append((f"`{env['id']}`", env["summary"], str(env["recommender"]), _measure(env), options or "none"))
    yield _table(("id", "what to do", "recommender", "reward", "options"), rows)
    first = card.ids[0]
    missing = "" if card.embedded or card.is_fetched(first) else f', {card.content.get("needs", "data_dir")}="..."'
    yield f'```python skip\nimport gymnasium as gym\nimport rec_gym\n\nenv = gym.make("{first}"{missing})\n```\n'


def _baselines(baselines: Sequence[dict[str, Any]]) -> str:
    if not baselines:
        return "None measured yet.\n"
    measures = _measures_of(baselines)
    rows = [(entry["data"], entry["policy"], *(_figure(entry, name) for name in measures)) for entry in baselines]
    between = " In brackets: 95% intervals." if any("intervals" in entry for entry in baselines) else ""
    heads = [f"{name} (lower is better)" if Measure.parse(name).lower_is_better else name for name in measures]
    return f"BM25 with the card's settings, unless another is named.{between}\n\n" + _table(
        ("data", "policy", *heads), rows
    )


def _measures_of(baselines: Sequence[dict[str, Any]]) -> list[str]:
    """The measures that the entries state: the usual ones first, then the others in their order."""
    stated = dict.fromkeys(key for entry in baselines for key in entry if "@" in key)
    return [name for name in dict.fromkeys([*MEASURES, *stated]) if name in stated]


def _figure(entry: Mapping[str, Any], measure: str) -> str:
    """A figure of a baseline, with its interval where the card states one."""
    if measure not in entry:
        return ""
    low, high = entry.get("intervals", {}).get(measure, (None, None))
    return f"{entry[measure]:.4f}" + ("" if low is None else f" [{low:.4f}, {high:.4f}]")


def _first_baseline(baselines: Sequence[dict[str, Any]]) -> str:
    if not baselines:
        return "not measured"
    first = baselines[0]
    figures = ", ".join(f"{name} {first[name]:.4f}" for name in _measures_of([first])[:2])
    return f"{first['policy']}: {figures} ({first['data']})"


def _documented(loader: object) -> Iterator[tuple[str, str]]:
    """The options of a loader, as the `Args` section of its docstring describes them."""
    text = inspect.getdoc(loader) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    for name, meaning in re.findall(
        r"^    (\w+): (.*?)(?=^    \w|\Z)", section[1] if section else "", re.DOTALL | re.M
    ):
        yield name, _flowing(meaning)


def _measure(env: dict[str, Any]) -> str:
    reward = env.get("reward", "ndcg@100")
    return reward if isinstance(reward, str) else str(reward.get("measure"))


def _size(sizes: dict[str, object], kind: str) -> str:
    """The sizes of one kind in the card: `items`, or all that end in the kind's word (`train requests`)."""
    words = {
        "items": ("items", "products"),
        "requests": ("requests", "queries", "users"),
        "judgements": ("judgements",),
    }
    found = [
        _count(value) if key in words[kind] else f"{_count(value)} {key}"
        for key, value in sizes.items()
        if any(re.search(rf"\b{word}\b", key) for word in words[kind])
    ]
    return "; ".join(found[:6]) or "depends on the data"


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _flowing(text: str) -> str:
    return " ".join(text.split())


def _coded(text: str) -> str:
    """Formats settings such as domain="Baby" or limit=... as code."""
    return re.sub(r'\b\w+=(?:"[^"]*"|\.\.\.)', lambda match: f"`{match[0]}`", text)


def _angled(text: str) -> str:
    """Turns addresses into links, and keeps placeholders in angle brackets as they are."""
    text = text.replace("<", r"\<")
    return re.sub(r"https?://[^\s,;)]*[^\s,;).]", lambda match: f"<{match[0]}>", text)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Writes the pages, or checks them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only name the stale files")
    check = parser.parse_args().check
    changed = stale()
    made = pages()
    for path in changed:
        print(f"{'stale' if check else 'written' if path in made else 'removed'}: {path.relative_to(DOCS)}")
        if not check and path in made:
            path.parent.mkdir(exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        elif not check:
            path.unlink()
    sys.exit(1 if check and changed else 0)


if __name__ == "__main__":
    main()
