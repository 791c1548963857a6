"""Prompts: how a request is put to a language model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from rec_gym.loop.actions import Plain

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """Templates in which `{request}`, `{query_language}`, `{instruction}`, `{system}` and `{user}` are replaced.

    Attributes:
        user: the user's message.
        system: the system message; empty for none.
        text: the whole prompt as one text, for models without a chat template; `{system}` and `{user}` stand for the
            two messages.
    """

    user: str
    system: str = ""
    text: str = "{system}\n\n{user}\n"

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


SEARCH = Prompt(
    system="You write queries for a product search engine.",
    user=(
        "A shopper says:\n{request}\n\n"
        "Write the query that finds the products that fit best. The engine reads it as: {query_language}.\n{instruction}"
    ),
)
HISTORY = Prompt(
    system="You write queries for a product search engine.",
    user=(
        "A shopper bought, oldest first:\n{request}\n\n"
        "Write the query that finds what this shopper buys next. The engine reads it as: {query_language}.\n"
        "{instruction}"
    ),
)
PROMPTS = {"search": SEARCH, "history": HISTORY}


def make_prompt(spec: str | Mapping[str, str] | Prompt | None, is_history: bool) -> Prompt:
    """A prompt from its name or a table of templates; None chooses by what the requests are.

    Raises:
        ValueError: an unknown name or template; the message lists those there are.
    """
    if isinstance(spec, Prompt):
        return spec
    if spec is None:
        return HISTORY if is_history else SEARCH
    if isinstance(spec, str):
        if spec not in PROMPTS:
            raise ValueError(f"unknown prompt {spec!r}; there are: {', '.join(PROMPTS)}, or give a table of templates")
        return PROMPTS[spec]
    known = [field.name for field in fields(Prompt)]
    wrong = [name for name in spec if name not in known]
    if wrong or "user" not in spec:
        raise ValueError(f"a prompt table needs 'user' and may hold {', '.join(known)}; it holds {', '.join(spec)}")
    return Prompt(**spec)


def prompt_values(request: str, query_language: str, action: Plain) -> dict[str, str]:
    """What the templates of a prompt are filled with."""
    return {"request": request, "query_language": query_language, "instruction": action.instruction}
