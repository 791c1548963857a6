"""Policies: callables from rows to completions. Baselines that need no training, and custom policies by name."""

from rec_gym.policies.base import Baseline, Policy
from rec_gym.policies.registry import POLICIES, make_policy, register_policy

__all__ = ["POLICIES", "Baseline", "Policy", "make_policy", "register_policy"]
