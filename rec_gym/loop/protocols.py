"""Published protocols: prompt, action format and reward of a paper, to be reproduced by name.

The texts of the prompts are those of Rec-R1 (Lin et al., arXiv 2503.24289, code linjc16/Rec-R1, Apache-2.0), typing errors
included, because a policy is trained on them.
"""

from __future__ import annotations

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
_CHATML = (
    "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    "Let me solve this step by step.\n<think>"
)
# The prompt tells the model to use AND and OR, and the paper's engine treated them as words; both are kept here, and the
# outcome's `searched` shows what became of them.


def paper(is_history: bool) -> dict[str, object]:
    """Task settings of Rec-R1: its prompt, its strict format and its reward table (-2 / 0 / 0.1 + NDCG)."""
    user = (_HISTORY if is_history else _SEARCH) + _FORMAT
    return {
        "prompt": {"system": _SYSTEM, "user": user, "text": _CHATML},
        "action": {"name": "answer", "strict": True, "think_opened": True},
        "reward": {
            "measure": "ndcg",
            "unparsed": -2.0,
            "terms": {"format": {"weight": 0.1, "only_if_positive": True}},
        },
    }


PROTOCOLS = {"paper": paper}
