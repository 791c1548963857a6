"""Plain English: phrases that no native engineer would write stay out of every text file of the project."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Word tables of the generated shop, kept results, and this list itself.
DATA = ("rec_gym/datasets/corner_shop/departments/", "benchmarks/learning/kept/", "tests/house/test_english.py")
FOLDERS = ("benchmarks", "docs", "envs", "examples", "rec_gym", "tests")
SUFFIXES = (".cfg", ".md", ".py", ".toml")

_UNIT = (
    "(?:batch|call|card|completion|episode|file|folder|group|item|line|loader|name|process|prompt|query|ranking|request|"
    "rollout|row|seed|session|slot|split|step|title|trainer|turn|user|word)"
)
_KIND = "(?:function|sequence|number|text|word|name|path|list|table|mapping|whole number|rankings?|predicates?|titles?)"
PHRASES = {
    r"at the most\b(?! (?:recent|relevant|likely|common))": "at most",
    r"\bof (?:one|ones)'s own\b": "custom",
    r"\b(?:stands?|stood|standing) (?:there|twice|once)\b": "appears, appears twice",
    r"\bthere are: ": "choose from: (or: its columns: ...)",
    r"\bthere is none: ": "say what is missing, and what to do",
    rf"\b(?:one|once|twice|each) an? {_UNIT}\b": "one per ..., once per ...",
    rf"\b[0-9][0-9,]* (?!of|in|as|is|are)\w+ an? {_UNIT}\b(?=[.,;:)])": "... per ...",
    rf"\bone (?:batch|bool|call|column|file|figure|flag|item|line|list|loader|mapping|number|object|query|rank|request|row|sequence|text|value|vector) an? {_UNIT}\b": "one ... per ...",
    r"\ba (?:request|word|row|rank|file|call) (?:each\b|an? (?:item|request|query|loader|batch)\b)": "one per ..., each",
    r"(?<!there )\b(?:is|are) none\b(?! of (?:the|my|our))": "is not a ...",
    rf"\b(?:is|are|was|were) no {_KIND}\b(?! of (?:a|the)\b)": "is not a ...",
    r"\banew\b": "again; rebuilt",
    r"\b(?:into|else|in|one step in|of) so many\b(?! (?:\w+ )*that\b)|\bso many (?:are|words, or)\b": "that many",
    r"\b(?:is|are|was) said\b(?! to\b)": "is reported",
    r"\bnot told apart\b|\btells (?:\w+ )?apart\b": "not significantly different from; distinguishes",
    r"\b(?:lies?|lay) over\b": "overrides",
    r"\bfar apart (?:the )?values lie\b": "spread",
    r"(?:\b[Tt]exts?|,) for people\b(?! who)": "human-readable",
    r"\bin the place of\b": "instead of",
    r"\bwithout a look at\b": "without looking at",
    r"\bwhat (?:came|comes) of\b|\bwhat became of it\b": "the result of; what happened to",
    r"\bmend(?:s|ed)?\b": "fix; repair",
    r"\bto be (?:found|had) there\b|\bis to be had\b": "is available",
    r"\bhas no more of\b|\bthere are no more of\b": "are fewer than",
}
PATTERNS = [(re.compile(pattern), better) for pattern, better in PHRASES.items()]


def texts() -> list[Path]:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*"))
    names = [(path, path.relative_to(ROOT).as_posix()) for path in files if path.suffix in SUFFIXES and path.is_file()]
    return sorted(path for path, name in names if not name.startswith(DATA))


def faults(text: str) -> list[tuple[int, str, str]]:
    """Line, phrase and suggestion of each; a phrase may run over the end of a line."""
    flat = re.sub(r"[ \t]*\n[ \t]*(?:#:? )?", "\n", text)
    return sorted(
        (flat.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), better)
        for pattern, better in PATTERNS
        for match in pattern.finditer(flat.replace("\n", " "))
    )


@pytest.mark.parametrize("phrase", ["20 words at the most.", "a log of one's own", "one query a line", "a rank an item",
    "what is none is a text", "an id stands there twice", "no split 'x'; there are: a, b", "64 rows a step.", "built anew"])  # fmt: skip
def test_awkward_phrases_are_recognised(phrase):
    assert faults(f"Fine.\n{phrase}\n")[0][0] == 2


@pytest.mark.parametrize("phrase", ["at the most recent index", "if value is None", "there is none", "none of the rows",
    "it is said to help", "one request per line", "an item is at most 3 words"])  # fmt: skip
def test_plain_phrases_pass(phrase):
    assert faults(phrase) == []


def test_the_project_is_in_plain_english():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}: write {better!r}"
        for path in texts()
        for line, phrase, better in faults(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(["", *found])
