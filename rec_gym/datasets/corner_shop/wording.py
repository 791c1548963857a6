"""Puts an intent into a shopper's words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.frames import MISSPELLINGS, SEEN, UNSEEN, Frames
from rec_gym.datasets.corner_shop.judging import Intent
from rec_gym.datasets.corner_shop.taxonomy import KINDS
from rec_gym.datasets.corner_shop.words import Value

_FRAGMENTS, _LOWER_CASE, _MISSPELT, _INLINE = 30, 50, 15, 50  # percent
_LONGEST_HEAD = 3  # a wish after a longer head would seem to belong to its last noun

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass
class _Wishes:
    """The asked attributes, sorted by how they are phrased."""

    must: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    use: list[str] = field(default_factory=list)
    price: list[str] = field(default_factory=list)
    inline: str = ""


def say(intent: Intent, draws: Draws, *, unseen: bool, brand: str | None = None) -> str:
    """A request's text.

    Args:
        intent: what is asked for.
        draws: the stream that chooses the words.
        unseen: whether to use the wordings that are kept for `ood-phrasing`, else only the others.
        brand: the brand's name, where the request names it.
    """
    frames = UNSEEN if unseen else SEEN
    kind = KINDS[intent.kind]
    need = draws.choice(kind.type.unseen if unseen else kind.type.needs)
    wishes = _Wishes()
    for attribute, word in intent.asked:
        predicate = _predicate(next(v for v in kind.values(attribute) if v.word == word), draws, unseen)
        group = wishes.must if attribute in intent.hard else wishes.use if attribute == "use" else wishes.soft
        group.append(predicate)
    draws_fragments = "|" in need and draws.chance(_FRAGMENTS)
    text = (_fragments if draws_fragments else _sentences)(need, wishes, intent, frames, draws, brand)
    if draws_fragments and draws.chance(_LOWER_CASE):
        text = text.lower()
    return misspell(text, draws) if draws.chance(_MISSPELT) else text


def _predicate(value: Value, draws: Draws, unseen: bool) -> str:
    return draws.choice(value.unseen if unseen else value.wordings)


def _sentences(need: str, wishes: _Wishes, intent: Intent, frames: Frames, draws: Draws, brand: str | None) -> str:
    """Whole sentences: the need first, then the wishes in random order."""
    _put_inline(need, wishes, intent, frames, draws, brand)
    rest = []
    if wishes.must:
        rest.append(draws.choice(frames.musts).format(x=" and ".join(wishes.must)))
    if wishes.soft:
        rest.append(draws.choice(frames.wishes).format(x=" and ".join(wishes.soft)))
    if wishes.use:
        rest.append(draws.choice(frames.uses).format(x=wishes.use[0]))
    if intent.budget is not None and not wishes.price:
        operator, dollars = intent.budget
        sentence = draws.choice(frames.limits if operator == "<=" else frames.floors)
        rest.append(sentence.format(n=_sum_of_money(dollars, frames, draws)))
    if "|" in need:
        first = draws.choice(frames.nouns).format(np=_noun_phrase(need, wishes.inline))
    else:
        inline = wishes.inline and f" {wishes.inline}"
        slots = {"vp": need, "with": inline, "with_or": inline or " for that"}
        first = draws.choice(frames.verbs).format_map(slots)
    return " ".join([first, *draws.sample(rest, len(rest))])


def _put_inline(need: str, wishes: _Wishes, intent: Intent, frames: Frames, draws: Draws, brand: str | None) -> None:
    """Moves one soft wish or the budget into the first sentence, where grammar allows it."""
    if brand is not None:
        wishes.inline = f"from {brand}"
        return
    if "|" in need and len(need.split("|")[0].split()) > _LONGEST_HEAD:
        return
    if not draws.chance(_INLINE):
        return
    if intent.budget is not None and draws.chance(50):
        tag = _price_tag(intent.budget, frames, draws)
        if not _two_fors(tag, need):
            wishes.inline = tag
            wishes.price.append(tag)
    elif wishes.soft and not _two_fors(wishes.soft[0], need):
        wishes.inline = wishes.soft.pop(0)


def _two_fors(wish: str, need: str) -> bool:
    """Whether wish and need would follow each other as "for ... for ..."."""
    return wish.startswith("for ") and "| for " in need


def _fragments(need: str, wishes: _Wishes, intent: Intent, frames: Frames, draws: Draws, brand: str | None) -> str:
    """What people type into a search box: a noun phrase, then wishes between commas."""
    first = _noun_phrase(need, f"from {brand}" if brand is not None else "")
    rest = [draws.choice(frames.must_fragments).format(x=x) for x in wishes.must]
    rest += [draws.choice(frames.wish_fragments).format(x=x) for x in wishes.soft]
    rest += wishes.use
    if intent.budget is not None:
        rest.append(_price_tag(intent.budget, frames, draws))
    return ", ".join([frames.fragment.format(np=first), *draws.sample(rest, len(rest))])


def _noun_phrase(need: str, wish: str) -> str:
    """The noun phrase of a need, the wish put in after its head."""
    head, rest = (part.strip() for part in need.split("|"))
    return " ".join(part for part in (head, wish, rest) if part)


def _price_tag(budget: tuple[str, int], frames: Frames, draws: Draws) -> str:
    operator, dollars = budget
    tag = draws.choice(frames.limit_tags if operator == "<=" else frames.floor_tags)
    return tag.format(n=_sum_of_money(dollars, frames, draws))


def _sum_of_money(dollars: int, frames: Frames, draws: Draws) -> str:
    return draws.choice(frames.sums).format(d=dollars, w=number_words(dollars))


def number_words(number: int) -> str:
    """A whole number from 0 to 9,999 in words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    many, rest = divmod(number, size)
    joint = " and " if rest < 100 else " "
    return f"{_ONES[many]} {name}" + (joint + number_words(rest) if rest else "")


def misspell(text: str, draws: Draws) -> str:
    """Misspells one word of at least five letters in lower case; a text without such a word is left unchanged."""
    places = [match.span() for match in re.finditer(r"(?<![\w$'-])[a-z]{5,}(?![\w'-])", text)]
    if not places:
        return text
    start, stop = draws.choice(places)
    word = text[start:stop]
    return text[:start] + (MISSPELLINGS.get(word) or _slip(word, draws)) + text[stop:]


def _slip(word: str, draws: Draws) -> str:
    """A slip of the fingers inside a word: one of a double letter is lost, or two letters change places."""
    doubles = [i for i in range(1, len(word)) if word[i] == word[i - 1]]
    if doubles:
        place = draws.choice(doubles)
        return word[:place] + word[place + 1 :]
    place = 1 + draws.below(len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
