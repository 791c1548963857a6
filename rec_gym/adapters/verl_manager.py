"""verl: a reward manager that scores the samples of a batch together.

    reward.reward_manager.source=importlib reward.reward_manager.name=GatherRewardManager
    reward.reward_manager.module.path=pkg://rec_gym.adapters.verl_manager

It replaces verl's `naive`, which spends most of its time on handing each sample to threads: this one decodes and scores in the
event loop. It takes `compute_score_async` by itself, or the `reward.custom_reward_function` if one is set.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rec_gym.adapters.verl import compute_score_async

try:
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
    from verl.utils.reward_score import default_compute_score
except ImportError as error:
    raise ImportError("the reward manager for verl needs verl: pip install 'rec-gym[verl]'") from error


class GatherRewardManager(RewardManagerBase):
    """A reward manager of verl's reward loop; a failure is raised and ends the training, it never becomes a reward.

    Args:
        config: verl's.
        tokenizer: decodes the responses.
        compute_score: a custom reward function, called as `naive` calls it; a coroutine function or one for threads.
        reward_router_address: of a reward model; passed on to a custom reward function.
        reward_model_tokenizer: of a reward model; passed on together with its address.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        # verl passes its own function if none is set; that one knows nothing of these rows.
        self._is_custom = compute_score is not None and compute_score is not default_compute_score
        self.compute_score: Callable[..., Any] = compute_score if self._is_custom else compute_score_async
        self._is_coroutine = inspect.iscoroutinefunction(self.compute_score)
        self._more: dict[str, Any] = {}
        # verl makes so many objects for a sample that the garbage collector soon walks through everything that torch and the
        # tokenizers hold, which takes as long as scoring. What is there now stays: it need not be walked through again.
        gc.collect()
        gc.freeze()
        if reward_router_address is not None:
            self._more = {
                "reward_router_address": reward_router_address,
                "reward_model_tokenizer": reward_model_tokenizer,
            }

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The reward of one sample.

        Args:
            data: a `DataProto`; of several sequences the last one counts.

        Returns:
            `reward_score`, and `reward_extra_info` with the columns of `compute_score`.

        Raises:
            Exception: what the reward function raises.
        """
        # Of NumPy's views: every call into torch costs more than the count itself.
        responses, mask = (data.batch[key].numpy()[-1] for key in ("responses", "attention_mask"))
        length = int(np.count_nonzero(mask[-len(responses) :]))
        text = self.tokenizer.decode(responses[:length].tolist(), skip_special_tokens=True)
        rows = data.non_tensor_batch
        extra_info = _last(rows, "extra_info") or {}
        more = _last(rows, "tool_extra_fields")
        if more is not None or self._is_custom:
            # verl notes these in the row itself; this leaves the row as it is.
            extra_info = {
                **extra_info,
                **dict(more or {}),
                "num_turns": _last(rows, "__num_turns__"),
                "rollout_reward_scores": _last(rows, "reward_scores") or {},
            }
        sample = {
            "data_source": rows["data_source"][-1],
            "solution_str": text,
            "ground_truth": rows["reward_model"][-1]["ground_truth"],
            "extra_info": extra_info,
            **self._more,
        }
        if self._is_coroutine:
            result = await self.compute_score(**sample)
        else:
            result = await asyncio.to_thread(self.compute_score, **sample)
        if not isinstance(result, dict):
            return {"reward_score": result, "reward_extra_info": {"acc": result}}
        return {"reward_score": result["score"], "reward_extra_info": result}


def _last(rows: Mapping[str, Any], key: str) -> Any:
    """The last value of a column, or None where there is none."""
    values = rows.get(key)
    return None if values is None else values[-1]
