"""Published protocols: prompt, action format and reward of a paper, to be reproduced by name.

The texts of the prompts are those of Rec-R1 (Lin et al., arXiv 2503.24289, code linjc16/Rec-R1, Apache-2.0), typing errors
included, because a policy is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rec_gym.registry import Registry
from rec_gym.resolving import Interface, takes

_SYSTEM = (
    "You are a helpful AI assistant. You first think about the reasoning process in the mind and then provide the user "
    "with the answer."
)
_FORMAT = (
    "\nShow your work in <think> </think> tags. Your final response must be in JSON format within <answer> </answer> "
    "tags. The generated query should use Boolean operators (AND, OR) to structure your query logically. For example,\n"
    '<answer>\n{\n    "query": xxx\n}\n</answer>'
)
_SEARCH = (
    "You are an expert in query generation. Given a query, your task is to create query terms to retrieve retrieve the "
    "most relevant products, ensuring they best meet customer needs.\nBelow is the query:\n```{request}```"
)
_HISTORY = (
    "You are an intelligent shopping assistant that helps predict what users may want to purchase next. Below is a list "
    "of items a user has purchased recently. Your task is to infer one or multiple kinds of products they may want to "
    "buy next, and generate relevant query terms that can be used to search for these potential products.\n"
    "Below is the user purchase history:\n```{request}```"
)
# The spaces before line breaks are theirs too. Their candidates show a product's whole text where ours show its title.
_RERANK = (
    "You are an expert in product reranking. \nGiven a customer query and a list of candidate products, \nyour task is to "
    "rerank the products so that the most relevant items to the query are placed at the top. \nConsider semantic meaning, "
    "product attributes, and customer intent.\n\nBelow are the candidate products (item_id and metadata):\n"
    "```{candidates}```\n\nBelow is the query:\n```{request}```\n------\n"
)
_RERANK_FORMAT = (
    "\nShow your work in <think> </think> tags. \nYour final response must be in JSON format within <answer> </answer> "
    "tags. \nThe output JSON should contain the reranked list of item_ids in order of relevance. The length of the "
    "reranked list should match the number of input candidates.\nFor example,\n<answer>\n{\n"
    '    "reranked_items": ["Item_4", "Item_8", "Item_x", ..., all candidate item_ids in order]\n}\n</answer>'
)
_CHATML = (
    "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    "Let me solve this step by step.\n<think>"
)
# The prompt tells the model to use AND and OR, and the paper's engine treated them as words; both are kept here, and the
# outcome's `searched` shows what became of them.


def paper(is_history: bool, orders: bool) -> dict[str, object]:
    """Task settings of Rec-R1: its prompt, its strict format and its reward table (-2 / 0 / 0.1 + NDCG).

    Args:
        is_history: whether the requests are purchase histories.
        orders: whether candidates are put into order: the first 16 of a ranking, not shuffled, NDCG@16 in train and @10
            elsewhere. The candidates of the paper were found by a policy that it had trained before; here they are found
            by the request's own words.

    Raises:
        ValueError: the paper puts no candidates into order for histories.
    """
    if orders and is_history:
        raise ValueError("protocol 'paper' re-ranks for search requests only; leave it out for purchase histories")
    user = _RERANK + _RERANK_FORMAT if orders else (_HISTORY if is_history else _SEARCH) + _FORMAT
    settings: dict[str, object] = {
        "prompt": {"system": _SYSTEM, "user": user, "text": _CHATML},
        "action": {"name": "order" if orders else "answer", "strict": True, "think_opened": True},
        "reward": {
            "measure": "ndcg",
            "unparsed": -2.0,
            "terms": {"format": {"weight": 0.1, "only_if_positive": True}},
        },
    }
    if orders:
        settings |= {"cutoffs": {"train": 16, "default": 10}, "candidates": {"k": 16, "shuffle": False}}
    return settings


Protocol = Callable[[bool, bool], Mapping[str, object]]

PROTOCOL = Interface(
    "a protocol",
    lambda value: takes(value, "is_history", "orders"),
    "a function (is_history, orders) that returns a table of a task's settings",
)
PROTOCOLS: Registry[Protocol] = Registry(PROTOCOL, {"paper": paper})


def register_protocol(name: str, protocol: Protocol) -> None:
    """Gives a custom protocol a name, by which `[protocols.NAME]` of a card finds it in this process.

    Args:
        name: lower-case letters, digits, `-` and `_`, beginning with a letter.
        protocol: a function `(is_history, orders)` that returns settings of `Task`; see `paper`.

    Raises:
        ValueError: the name is taken or not of the right form, or the function takes other parameters.
    """
    PROTOCOLS.register(name, protocol)
