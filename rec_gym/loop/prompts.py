"""Prompts: how a request is put to a language model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rec_gym.registry import Registry
from rec_gym.resolving import FORM, Interface
from rec_gym.tables import check_fields, read_fields

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """Templates with placeholders: `{request}`, `{candidates}`, `{query_language}`, `{instruction}`, `{system}`, `{user}`.

    Attributes:
        user: the user's message.
        system: the system message; empty for none.
        text: the whole prompt as one text, for models without a chat template; `{system}` and `{user}` stand for the
            two messages.
    """

    user: str
    system: str = ""
    text: str = "{system}\n\n{user}\n"

    def __post_init__(self) -> None:
        check_fields(self, "a prompt")

    def messages(self, values: Mapping[str, str]) -> list[dict[str, str]]:
        """The prompt as chat messages."""
        messages = [{"role": "user", "content": _fill(self.user, values)}]
        system = [{"role": "system", "content": _fill(self.system, values)}] if self.system else []
        return system + messages

    def render(self, values: Mapping[str, str]) -> str:
        """The prompt as one text."""
        filled = {"system": _fill(self.system, values), "user": _fill(self.user, values)}
        return _fill(self.text, filled).lstrip("\n")


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Replaces placeholders in one pass: other braces stay, and a request that holds "{user}" is not filled again."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


_SAYS = "A shopper says:\n{request}\n\n"
_BOUGHT = "A shopper bought these products, oldest first:\n{request}\n\n"
_READS = "The search engine treats the query as {query_language}.\n{instruction}"
_READS_EACH = "The search engine treats each query as {query_language}.\n{instruction}"
# Query languages as they read in a sentence; others are used as they are.
_LANGUAGES = {"bag of words": "a bag of words", "boolean": "a Boolean expression", "any": "plain text"}
_WRITER = "You write queries for a product search engine."
_SELLER = "You help shoppers find products."

SEARCH = Prompt(f"{_SAYS}Write a search query that finds the best matching products. {_READS}", _WRITER)
HISTORY = Prompt(f"{_BOUGHT}Write a search query that finds what this shopper will buy next. {_READS}", _WRITER)
SEVERAL_SEARCH = Prompt(
    f"{_SAYS}Write search queries that together find the best matching products. {_READS_EACH}", _WRITER
)
SEVERAL_HISTORY = Prompt(
    f"{_BOUGHT}Write search queries that together find what this shopper will buy next. {_READS_EACH}", _WRITER
)
TITLES_SEARCH = Prompt(
    f"{_SAYS}Write the titles of the best matching products, as a shop would list them.\n{{instruction}}", _SELLER
)
TITLES_HISTORY = Prompt(
    f"{_BOUGHT}Write the titles of the products that this shopper is likely to buy next, as a shop would list them.\n"
    "{instruction}",
    _SELLER,
)
ORDER_SEARCH = Prompt(
    f"{_SAYS}The shop offers:\n{{candidates}}\n\n"
    "Rank these products by how well they match what the shopper says.\n{instruction}",
    _SELLER,
)
ORDER_HISTORY = Prompt(
    f"{_BOUGHT}The shop offers:\n{{candidates}}\n\n"
    "Rank these products by how likely this shopper is to buy them next.\n{instruction}",
    _SELLER,
)
PROFILE = Prompt(
    f"{_BOUGHT}Write a profile of this shopper in a few sentences of plain text: what kinds of products they look for, which "
    "properties matter to them, and what they are likely to buy next. The shop compares the profile with its product "
    "descriptions.\nReply with the profile and nothing else.",
    "You describe shoppers to a shop that recommends products.",
)


def in_a_sentence(query_language: str) -> str:
    """A query language as it reads in a sentence of a prompt."""
    return _LANGUAGES.get(query_language, query_language)


PROMPT = Interface("a prompt", lambda value: isinstance(value, Prompt), "a rec_gym.loop.prompts.Prompt")
PROMPTS: Registry[Prompt] = Registry(
    PROMPT, {"search": SEARCH, "history": HISTORY, "profile": PROFILE}, more=f"a table of templates, or {FORM}"
)


def make_prompt(spec: str | Mapping[str, str] | Prompt) -> Prompt:
    """A prompt from its name or path, or from a table of templates.

    Raises:
        ValueError: an unknown name or template (near names are suggested), or a template that is not text.
    """
    if isinstance(spec, Prompt):
        return spec
    if isinstance(spec, str):
        return PROMPTS.find(spec)
    if not isinstance(spec, Mapping):
        raise ValueError(f"a prompt is a name or a table of templates, such as {{'user': '{{request}}'}}, not {spec!r}")
    return read_fields(spec, Prompt, "a prompt")


def register_prompt(name: str, prompt: Prompt) -> None:
    """Gives a custom prompt a name, by which `prompt=` finds it in this process.

    Raises:
        ValueError: the name is taken or not of the right form, or the object is not a prompt.
    """
    PROMPTS.register(name, prompt)
