"""Networks for query edits in Stable-Baselines3: one softmax over the vocabulary, from which every slot draws.

SB3's own policies give each slot its own head, so the same word must be learned once per slot. Here the slots share one
head, and every drawn word trains it. Import the policies from `rec_gym.adapters.sb3`.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box, MultiDiscrete
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

_CLOSED = -1e8  # the logit of a choice that is masked: its probability is 0, and its product with it too


class _WeightedRows(torch.autograd.Function):
    """Sums of a matrix's rows, weighted by sparse vectors: `vectors @ weight`.

    torch has no second derivative for its sum of rows, and TRPO needs one: a gradient that will be differentiated again is
    computed as a matrix product.
    """

    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows, columns = vectors.nonzero(as_tuple=True)
        offsets = torch.searchsorted(rows, torch.arange(len(vectors), device=rows.device))
        with torch.enable_grad():
            leaf = weight.detach().requires_grad_(ctx.needs_input_grad[1])
            pooled = nn.functional.embedding_bag(
                columns, leaf, offsets, mode="sum", per_sample_weights=vectors[rows, columns]
            )
        ctx.vectors, ctx.leaf, ctx.pooled = vectors, leaf, pooled
        return pooled.detach()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        if torch.is_grad_enabled():
            return None, torch.sparse.mm(ctx.vectors.to_sparse().t(), gradient)
        [of_weight] = torch.autograd.grad(ctx.pooled, [ctx.leaf], gradient, retain_graph=True)
        return None, of_weight


class SparseInput(nn.Module):
    """A linear layer for sparse vectors: only the rows of their non-zero components are read.

    Args:
        inputs: length of a vector.
        outputs: length of an output; all 0 before training.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Float [n, inputs] to float [n, outputs]."""
        return _WeightedRows.apply(vectors, self.weight) + self.bias


class WordDraws(MultiCategoricalDistribution):
    """Independent draws of every slot from one distribution over the words."""

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self.slots = len(action_dims)
        self.log_probabilities = torch.empty(0)

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """The layer that makes the logits: all words are equally likely before training."""
        return SparseInput(latent_dim, self.action_dims[0])

    def proba_distribution(self, action_logits: torch.Tensor) -> WordDraws:
        """Takes logits, float [n, choices]."""
        self.log_probabilities = action_logits.log_softmax(dim=1)
        return self

    def _slot_by_slot(self) -> list[torch.distributions.Categorical]:
        """The draws slot by slot, all the same; SB3 computes a divergence (TRPO) from them."""
        return [torch.distributions.Categorical(logits=self.log_probabilities, validate_args=False)] * self.slots

    distribution: Any = property(_slot_by_slot)  # an attribute in SB3, made on demand

    def apply_masking(self, masks: Any) -> None:
        """Closes choices; masks are [n, slots * choices], and those of the first slot hold for all."""
        if masks is not None:
            size = self.action_dims[0]
            opened = torch.as_tensor(masks, device=self.log_probabilities.device).view(-1, self.slots * size)[:, :size]
            closed = self.log_probabilities.masked_fill(~opened.bool(), _CLOSED)
            self.log_probabilities = closed.log_softmax(dim=1)

    def log_prob(self, actions: torch.Tensor) -> torch.Tensor:
        """Log probability of all draws together, float [n]; actions are [n, slots]."""
        return self.log_probabilities.gather(1, actions.long().view(-1, self.slots)).sum(dim=1)

    def entropy(self) -> torch.Tensor:
        """Entropy of all draws together in nats, float [n]."""
        return -self.slots * (self.log_probabilities.exp() * self.log_probabilities).sum(dim=1)

    def sample(self) -> torch.Tensor:
        """One draw per slot, int64 [n, slots]."""
        return torch.multinomial(self.log_probabilities.exp(), self.slots, replacement=True)

    def mode(self) -> torch.Tensor:
        """The likeliest words: those with at least half an expected draw; int64 [n, slots], 0 in unused slots."""
        expected, places = (self.log_probabilities.exp() * self.slots).topk(min(self.slots, self.action_dims[0]), dim=1)
        likely = places.masked_fill(expected < 0.5, 0)
        return nn.functional.pad(likely, (0, self.slots - likely.shape[1]))


class WordSlotsPolicy(ActorCriticPolicy):
    """A linear policy over hashed words for `PPO`, `A2C` and `TRPO`: all slots draw from one softmax over the vocabulary."""

    def __init__(self, observation_space: Box, action_space: MultiDiscrete, lr_schedule: Any, **keywords: Any) -> None:
        super().__init__(observation_space, action_space, lr_schedule, **_linear(keywords))

    def _build(self, lr_schedule: Any) -> None:
        self.action_dist = _draws(self.action_space)
        super()._build(lr_schedule)


class MaskableWordSlotsPolicy(MaskableActorCriticPolicy):
    """The same for `MaskablePPO`."""

    action_dist: Any  # `WordDraws` has what SB3 needs of a maskable distribution

    def __init__(self, observation_space: Box, action_space: MultiDiscrete, lr_schedule: Any, **keywords: Any) -> None:
        super().__init__(observation_space, action_space, lr_schedule, **_linear(keywords))

    def _build(self, lr_schedule: Any) -> None:
        self.action_dist = _draws(self.action_space)
        super()._build(lr_schedule)


def _draws(space: Any) -> WordDraws:
    """The distribution over an action space.

    Raises:
        ValueError: the slots differ in size.
    """
    if not isinstance(space, MultiDiscrete) or len(set(space.nvec.tolist())) != 1:
        raise ValueError(f"slots that share their words need a MultiDiscrete of equal sizes, not {space}")
    return WordDraws(space.nvec.tolist())


def _linear(keywords: dict[str, Any]) -> dict[str, Any]:
    """No hidden layer, and the layers' own initial weights: all words are equally likely before training."""
    if keywords.get("optimizer_class", torch.optim.Adam) is torch.optim.Adam and not keywords.get("optimizer_kwargs"):
        # Most of a step is spent in Adam, and its fused form takes a seventh of the time. eps is SB3's default.
        keywords["optimizer_kwargs"] = {"eps": 1e-5, "fused": True}
    return {**keywords, "net_arch": [], "ortho_init": False}
