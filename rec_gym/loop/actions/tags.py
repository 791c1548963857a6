"""Reasoning, answers and code fences: the tags that models write around what they mean."""

from __future__ import annotations

import string

THINK, THINK_END = "<think>", "</think>"


ANSWER, ANSWER_END = "<answer>", "</answer>"


_FENCE = "```"
_SHORT = 1 << 12  # characters of a text below which nothing is gained by looking for `<` first
_TRIES = 16  # brackets after which a text holds too many of them to look at each


def without_think(completion: str) -> tuple[str, str]:
    """The text after one leading closed `<think>`, and the parse word."""
    text = completion.strip()
    if not text.startswith(THINK):
        return text, "ok"
    end = find_tag(text, THINK_END)
    return (text[end + len(THINK_END) :].strip(), "think_removed") if end >= 0 else ("", "unclosed_think")


def last_answer(completion: str) -> tuple[str, str] | None:
    """The text of the last `<answer>` and the parse word; None where there is none."""
    start = find_last_tag(completion, ANSWER)
    if start < 0:
        return None
    end = find_tag(completion, ANSWER_END, start)
    several = find_tag(completion, ANSWER) < start
    content = completion[start + len(ANSWER) : end if end >= 0 else len(completion)].strip()
    return content, "last_answer" if several else "ok" if end >= 0 else "unclosed_answer"


def find_tag(text: str, tag: str, start: int = 0) -> int:
    """`text.find(tag, start)` for a tag, which begins with `<`.

    In a megabyte without tags, looking for one character is many times faster than looking for several.
    """
    for _ in range(_TRIES if len(text) > _SHORT else 0):
        start = text.find("<", start)
        if start < 0 or text.startswith(tag, start):
            return start
        start += 1
    return text.find(tag, start)


def find_last_tag(text: str, tag: str) -> int:
    """`text.rfind(tag)`, likewise."""
    end = len(text)
    for _ in range(_TRIES if len(text) > _SHORT else 0):
        place = text.rfind("<", 0, end)
        if place < 0 or text.startswith(tag, place):
            return place
        end = place
    return text.rfind(tag, 0, end)


def tags_are_right(completion: str, think_opened: bool) -> bool:
    """The paper's check: each of the four tags exactly once, in order.

    Args:
        completion: what the policy wrote.
        think_opened: the prompt has already written `<think>`, so that a completion need not.
    """
    if think_opened and THINK not in completion:
        completion = THINK + completion
    tags = (THINK, THINK_END, ANSWER, ANSWER_END)
    places = [completion.find(tag) for tag in tags]
    return all(completion.count(tag) == 1 for tag in tags) and places == sorted(places)


def unfenced(content: str) -> str | None:
    """What a code fence holds; None where there is no fence."""
    if not content.startswith(_FENCE):
        return None
    inside = content.removeprefix(_FENCE).lstrip(string.ascii_letters)  # the fence may name a language
    return inside.strip().removesuffix(_FENCE).strip()


def in_answer(content: str, think_opened: bool) -> str:
    """A completion in Rec-R1's tags, without reasoning."""
    return f"{'' if think_opened else THINK}{THINK_END}\n{ANSWER}{content}{ANSWER_END}"
