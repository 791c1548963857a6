"""The distribution of the networks for Stable-Baselines3."""

import numpy as np
import pytest


@pytest.mark.trainer
class TestWordDraws:
    """The distribution that all slots share."""

    @pytest.fixture
    def draws(self):
        pytest.importorskip("sb3_contrib")
        from rec_gym.adapters.sb3_networks import WordDraws

        return WordDraws([4, 4, 4])

    def test_it_is_a_multi_categorical_with_equal_heads(self, draws):
        import torch
        from stable_baselines3.common.distributions import MultiCategoricalDistribution

        logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 0.0, 0.0, 0.0]])
        actions = torch.tensor([[1, 2, 2], [0, 0, 3]])
        draws.proba_distribution(logits)
        same = MultiCategoricalDistribution([4, 4, 4]).proba_distribution(logits.repeat(1, 3))
        assert torch.allclose(draws.log_prob(actions), same.log_prob(actions))
        assert torch.allclose(draws.entropy(), same.entropy())
        assert draws.sample().shape == (2, 3)

    def test_its_divergence_is_that_of_equal_heads(self, draws):
        """TRPO bounds it; SB3 has the sum over the heads."""
        import torch
        from stable_baselines3.common.distributions import MultiCategoricalDistribution, kl_divergence

        first, second = torch.tensor([[0.0, 1.0, 2.0, -1.0]]), torch.tensor([[3.0, 0.0, 0.0, 0.0]])
        other = type(draws)([4, 4, 4]).proba_distribution(second)
        heads = [
            MultiCategoricalDistribution([4, 4, 4]).proba_distribution(each.repeat(1, 3)) for each in (first, second)
        ]
        divergence = kl_divergence(draws.proba_distribution(first), other)
        assert torch.allclose(divergence, kl_divergence(*heads))

    def test_masks_close_choices(self, draws):
        import torch

        masks = np.tile([True, False, True, False], (2, 3))
        draws.proba_distribution(torch.zeros(2, 4))
        draws.apply_masking(masks)
        assert draws.log_probabilities.exp().tolist() == [[0.5, 0.0, 0.5, 0.0]] * 2
        assert draws.entropy().tolist() == pytest.approx([3 * np.log(2)] * 2)
        torch.manual_seed(0)
        assert set(torch.cat([draws.sample() for _ in range(50)]).flatten().tolist()) == {0, 2}

    def test_the_likeliest_words_are_those_expected_at_least_half_a_time(self, draws):
        import torch

        chances = torch.tensor([[0.05, 0.6, 0.3, 0.05], [0.1, 0.05, 0.05, 0.8], [0.7, 0.1, 0.1, 0.1]])
        draws.proba_distribution(chances.log())
        assert draws.mode().tolist() == [[1, 2, 0], [3, 0, 0], [0, 0, 0]]

    def test_a_sparse_input_is_a_linear_layer(self):
        torch = pytest.importorskip("torch")
        pytest.importorskip("sb3_contrib")
        from rec_gym.adapters.sb3_networks import SparseInput

        torch.manual_seed(0)
        layer = SparseInput(6, 3)
        assert not layer(torch.ones(2, 6)).any()
        layer.weight.data, layer.bias.data = torch.randn(6, 3), torch.randn(3)
        vectors = torch.tensor([[0.0, 1, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1.5]])
        plain = vectors @ layer.weight + layer.bias
        assert torch.allclose(layer(vectors), plain, atol=1e-6)
        [sparse] = torch.autograd.grad(layer(vectors).square().sum(), [layer.weight])
        [dense] = torch.autograd.grad(plain.square().sum(), [layer.weight], retain_graph=True)
        assert torch.allclose(sparse, dense, atol=1e-4)
        curvatures = []
        for outputs in (layer(vectors), plain):
            [first] = torch.autograd.grad(outputs.pow(3).sum(), [layer.weight], create_graph=True)
            assert torch.allclose(first, torch.autograd.grad(plain.pow(3).sum(), [layer.weight], retain_graph=True)[0])
            curvatures += torch.autograd.grad(first.sum(), [layer.weight], retain_graph=True)
        assert torch.allclose(*curvatures)

    def test_slots_of_different_sizes_are_refused(self):
        pytest.importorskip("sb3_contrib")
        from gymnasium.spaces import Box, MultiDiscrete

        from rec_gym.adapters.sb3 import WordSlotsPolicy

        with pytest.raises(ValueError, match="equal sizes"):
            WordSlotsPolicy(Box(0, 1, (4,)), MultiDiscrete([2, 3]), lambda _: 1e-3)
