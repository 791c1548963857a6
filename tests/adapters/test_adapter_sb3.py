"""Query edits, and the environment and policies for Stable-Baselines3."""

import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

import rec_gym
from rec_gym.adapters.query_edits import QueryEditEnv, QueryEdits, check_fits, reads
from rec_gym.evaluation import evaluate

ID, REFINE, RERANK = (f"RecR1-CornerShop{kind}-BM25-v0" for kind in ("", "Refine", "Rerank"))
WORDS = ["lamp", "wool", "steel", "blanket", "coffee table"]


class TestQueryEdits:
    """They need no training framework."""

    def test_a_text_is_the_same_vector_in_every_process(self):
        edits = QueryEdits(WORDS, buckets=1000)
        [vector] = edits.vectors(["Warm wool, warm WOOL"])
        # CRC-32 of "warm", "wool", "warm wool" and "wool warm", modulo 1000.
        assert np.flatnonzero(vector).tolist() == [22, 207, 495, 503]
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0)
        code = (
            "from rec_gym.adapters.query_edits import QueryEdits\n"
            "print(QueryEdits(['a'], buckets=1000).vectors(['Warm wool, warm WOOL'])[0].nonzero()[0].tolist())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[22, 207, 495, 503]"

    def test_a_text_without_words_is_zero_and_all_lie_in_the_space(self):
        edits = QueryEdits(WORDS, buckets=32)
        vectors = edits.vectors(["", "?!", "one", "ein Wort für Ünïcode 日本"])
        assert vectors.shape == (4, 32)
        assert not vectors[:2].any()
        assert all(edits.observation_space.contains(vector) for vector in vectors)

    def test_actions_become_the_words_they_stand_for(self):
        edits = QueryEdits(WORDS, slots=3)
        assert edits.action_space.nvec.tolist() == [6, 6, 6]
        actions = np.array([[1, 0, 2], [0, 0, 0], [5, 5, 3], [4, 1, 4]])
        assert edits.texts(actions) == ["lamp wool", "", "coffee table steel", "blanket lamp"]

    def test_every_word_comes_back_from_its_action(self):
        edits = QueryEdits()
        actions = np.zeros((len(edits.vocabulary), edits.slots), int)
        actions[:, 1] = np.arange(1, len(edits.vocabulary) + 1)
        assert edits.texts(actions) == edits.vocabulary

    def test_masks_close_words_that_the_request_holds(self):
        edits = QueryEdits(WORDS, slots=2)
        masks = edits.masks(["A LAMP, and coffee", "a table for my coffee", "lamp wool steel blanket coffee table", ""])
        assert masks.shape == (4, 12)
        open_words = [[WORDS[i - 1] for i in np.flatnonzero(mask[:6]) if i] for mask in masks]
        assert open_words == [["wool", "steel", "blanket", "coffee table"], WORDS[:4], [], WORDS]
        assert (masks[:, :6] == masks[:, 6:]).all()
        assert masks[:, [0, 6]].all(), "no word at all is always open, so that no row is closed everywhere"

    def test_discrete_actions_are_single_numbers(self):
        edits = QueryEdits(WORDS, slots=1, discrete=True)
        assert edits.action_space == Discrete(6)
        assert edits.texts(np.array([1, 0, 5])) == ["lamp", "", "coffee table"]
        assert edits.masks(["a lamp"]).shape == (1, 6)
        with pytest.raises(ValueError, match=r"of shape \[n\], not \[2, 1\]"):
            edits.texts(np.zeros((2, 1), int))

    @pytest.mark.parametrize("changes", [{"slots": 3}, {"slots": 1, "discrete": True}])
    def test_settings_make_the_same_edits_again(self, changes):
        edits = QueryEdits(WORDS, buckets=16, **changes)
        again = QueryEdits(**edits.settings)
        assert again.settings == edits.settings
        assert again.action_space == edits.action_space
        assert again.observation_space == edits.observation_space

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"vocabulary": []}, "is empty"),
            ({"vocabulary": ["a", "!"]}, "'!' has none"),
            ({"vocabulary": ["a", "b", "a"]}, "'a' twice"),
            ({"slots": 0}, "at least 1"),
            ({"buckets": 0}, "at least 1"),
            ({"discrete": True, "slots": 2}, "set slots=1, not 2"),
        ],
    )
    def test_bad_settings_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            QueryEdits(**arguments)

    @pytest.mark.parametrize("actions", [np.zeros(2), np.zeros((1, 3)), np.full((1, 2), 6), np.full((1, 2), -1)])
    def test_bad_actions_are_refused(self, actions):
        with pytest.raises(ValueError, match="actions"):
            QueryEdits(WORDS, slots=2).texts(actions)

    def test_what_a_policy_reads(self):
        task = rec_gym.make_task(ID, items=600)
        assert reads(task) == "text"
        assert reads(task.replace(observation="prompt")) == "prompt"
        assert reads(task.replace(turns=3)) == "prompt"

    def test_an_order_of_candidates_is_no_words(self):
        with pytest.raises(ValueError, match="order"):
            check_fits(rec_gym.make_task(RERANK, items=600))


@pytest.mark.parametrize("id", [ID, REFINE])
class TestQueryEditEnv:
    """A single environment, without a training framework."""

    def make(self, id):
        return QueryEditEnv(rec_gym.make_task(id, items=600, action="append"), QueryEdits(WORDS, slots=2, buckets=64))

    def test_check_env_finds_nothing(self, id):
        task = rec_gym.make_task(id, items=600)
        check_env(
            QueryEditEnv(task, QueryEdits(WORDS, slots=2, buckets=64), render_mode="ansi"), skip_render_check=True
        )

    def test_it_does_what_the_task_does(self, id):
        env = self.make(id)
        seen, info = env.reset(seed=1)
        episodes = env.task.start([info["request_id"]])
        ended = False
        while not ended:
            assert (seen == env.edits.vectors([row[reads(env.task)] for row in env.task.rows_of(episodes)])[0]).all()
            assert (env.action_masks() == env.edits.masks([env.task.rows_of(episodes)[0]["text"]])[0]).all()
            seen, reward, ended, truncated, info = env.step(np.array([1, 2]))
            episodes, outcomes, _ = env.task.advance(episodes, ["lamp wool"])
            assert (reward, ended, truncated) == (outcomes.rewards[0], episodes[0].done, False)
        assert info["turn"] == env.task.turns.limit


def test_without_the_extra_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.delitem(sys.modules, "rec_gym.adapters.sb3", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[sb3\]'"):
        importlib.import_module("rec_gym.adapters.sb3")


@pytest.mark.trainer
class TestStableBaselines3:
    """What needs the framework itself."""

    @pytest.fixture(autouse=True)
    def framework(self):
        """The module; torch on one thread, which is what networks as small as these want."""
        pytest.importorskip("stable_baselines3")
        pytest.importorskip("sb3_contrib")
        import torch

        self.sb3 = importlib.import_module("rec_gym.adapters.sb3")
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    def make(self, id=ID, num_envs=6, **settings):
        settings = {"items": 600, "vocabulary": WORDS, "slots": 3, "buckets": 128, **settings}
        return self.sb3.make_sb3_env(id, num_envs, **settings)

    def test_observations_infos_and_ends(self):
        env = self.make(action="append")
        observed = env.reset()
        assert observed.shape == (6, 128)
        assert observed.dtype == np.float32
        before = [info["request_id"] for info in env.reset_infos]
        actions = np.array([env.action_space.sample() for _ in range(6)])
        following, rewards, dones, infos = env.step(actions)
        assert following.shape == (6, 128)
        assert rewards.dtype == np.float32
        assert dones.dtype == bool
        assert dones.all()
        assert [info["request_id"] for info in infos] == before
        assert [info["request_id"] for info in env.reset_infos] != before
        assert len({frozenset(info) for info in infos}) == 1
        for info, seen in zip(infos, observed, strict=True):
            assert info["TimeLimit.truncated"] is False
            assert info["turn"] == 1
            assert all(type(info[key]) is float for key in info if "/" in key or key == "reward")
            # A request of one turn looks the same at its end.
            assert (info["terminal_observation"] == seen).all()
            assert info["episode"]["r"] == info["reward"]
            assert info["episode"]["l"] == 1

    def test_rewards_are_those_of_the_task(self):
        env = self.make(action="append", num_envs=32)
        env.reset()
        ids = [info["request_id"] for info in env.reset_infos]
        actions = np.array([env.action_space.sample() for _ in range(32)])
        _, rewards, _, infos = env.step(actions)
        outcomes = env.task.score(ids, env.edits.texts(actions))
        assert outcomes.rewards.any()
        assert [info["reward"] for info in infos] == outcomes.rewards.tolist()
        assert (rewards == outcomes.rewards.astype(np.float32)).all()
        assert [info["query"] for info in infos] == outcomes.queries

    def test_the_gain_over_the_raw_query_is_paid_and_the_true_reward_is_told(self):
        env = self.make(action="append", num_envs=32, baseline="raw", reward="ndcg@10")
        env.reset()
        ids = [info["request_id"] for info in env.reset_infos]
        raw = env.task.score(ids, [""] * 32).rewards
        assert raw.any()
        actions = np.array([env.action_space.sample() for _ in range(32)])
        _, paid, _, infos = env.step(actions)
        true = env.task.score(ids, env.edits.texts(actions)).rewards
        assert (paid == (true - raw).astype(np.float32)).all()
        assert [info["episode"]["r"] for info in infos] == true.tolist()
        # Nothing added is nothing gained.
        _, paid, _, infos = env.step(np.zeros((32, 3), int))
        assert not paid.any()
        assert any(info["reward"] for info in infos)

    def test_the_gain_is_what_the_best_turn_adds(self):
        env = self.make(REFINE, baseline="raw", action="append", num_envs=16)
        env.reset()
        ids = [info["request_id"] for info in env.reset_infos]
        raw = env.task.replace(turns=1).score(ids, [""] * 16).rewards
        paid = np.zeros(16)
        for _ in range(env.task.turns.limit):
            _, rewards, dones, infos = env.step(np.array([env.action_space.sample() for _ in range(16)]))
            paid += rewards
        assert dones.all()
        returns = np.array([info["episode"]["r"] for info in infos])
        assert paid == pytest.approx(returns - raw, abs=1e-6)

    def test_several_turns_end_together_and_show_what_was_found(self):
        env = self.make(REFINE, num_envs=4)
        first = env.reset()
        observed, keys = first, set()
        for turn in (1, 2, 3):
            before = observed
            observed, rewards, dones, infos = env.step(np.full((4, 3), turn))
            assert dones.tolist() == [turn == 3] * 4
            assert [info["turn"] for info in infos] == [turn] * 4
            assert (observed != before).any(axis=1).all()
            keys |= {frozenset(info) - {"episode", "terminal_observation"} for info in infos}
        assert len(keys) == 1
        assert [info["episode"]["l"] for info in infos] == [3] * 4
        ended = np.array([info["terminal_observation"] for info in infos])
        assert (ended != observed).any(axis=1).all()
        assert rewards.shape == (4,)

    def test_seeds_are_honoured(self):
        env, other = self.make(), self.make()
        env.seed(3)
        other.seed(3)
        runs = []
        for each in (env, other):
            seen = [each.reset()]
            seen += [each.step(np.ones((6, 3), int))[0] for _ in range(3)]
            runs.append(np.array(seen))
        assert (runs[0] == runs[1]).all()
        env.seed(3)
        assert (env.reset() == runs[0][0]).all()
        env.seed(4)
        assert (env.reset() != runs[0][0]).any()

    def test_groups_share_their_request(self):
        env = self.make(group_size=3)
        env.reset()
        for _ in range(2):
            ids = [info["request_id"] for info in env.reset_infos]
            assert ids[0] == ids[1] == ids[2] != ids[3] == ids[4] == ids[5]
            env.step(np.ones((6, 3), int))

    def test_options_name_requests(self):
        env = self.make(num_envs=2)
        ids = env.task.request_ids[5:7]
        env.set_options([{"request_id": name} for name in ids])
        env.reset()
        assert [info["request_id"] for info in env.reset_infos] == ids
        env.set_options({"request_id": ids[1]})
        env.reset()
        assert [info["request_id"] for info in env.reset_infos] == [ids[1]] * 2
        env.reset()
        assert [info["request_id"] for info in env.reset_infos] != [ids[1]] * 2, "options hold for one reset"
        env.set_options([{}, {"request_id": ids[0]}])
        with pytest.raises(ValueError, match="every member"):
            env.reset()

    def test_attributes_and_methods_of_the_members(self):
        from stable_baselines3.common.monitor import Monitor
        from stable_baselines3.common.vec_env import VecMonitor

        env = self.make(render_mode="ansi")
        env.reset()
        assert env.get_attr("task") == [env.task] * 6
        assert env.get_attr("baseline", [0, 4]) == [None] * 2
        assert env.has_attr("action_masks")
        assert not env.has_attr("nope")
        env.set_attr("baseline", "raw")
        assert env.get_attr("baseline", 1) == ["raw"]
        with pytest.raises(ValueError, match="share"):
            env.set_attr("baseline", None, indices=[0])
        assert [text.splitlines()[0] for text in env.env_method("render", indices=[1])]
        with pytest.raises(AttributeError, match="choose from: action_masks, render"):
            env.env_method("close")
        assert env.env_is_wrapped(Monitor) == [True] * 6
        assert env.env_is_wrapped(VecMonitor, indices=[2]) == [False]
        env.close()

    @pytest.mark.parametrize("id", [ID, REFINE])
    def test_their_checker_finds_nothing(self, id):
        from stable_baselines3.common.env_checker import check_env as check

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check(QueryEditEnv(rec_gym.make_task(id, items=600), QueryEdits(WORDS, slots=2, buckets=64)))

    def test_their_evaluation_takes_the_true_reward(self):
        from stable_baselines3.common.evaluation import evaluate_policy

        env = self.make(action="append", baseline="raw", reward="ndcg@10")
        model = self.sb3.PPO(self.sb3.WordSlotsPolicy, env, n_steps=1, batch_size=6, device="cpu", seed=0)
        env.seed(0)
        returns, lengths = evaluate_policy(model, env, n_eval_episodes=12, return_episode_rewards=True)
        env.seed(0)
        env.reset()
        ids = [info["request_id"] for info in env.reset_infos]
        # Before training no word is likely: nothing is added, and the raw query's own reward is what is counted.
        assert returns[:6] == env.task.score(ids, [""] * 6).rewards.tolist()
        assert lengths == [1] * 12

    def test_wrappers_of_sb3_fit_around_it(self):
        from stable_baselines3.common.vec_env import VecCheckNan, VecNormalize

        env = VecNormalize(VecCheckNan(self.make(), raise_exception=True), norm_obs=False)
        observed = env.reset()
        observed, _, _, infos = env.step(np.ones((6, 3), int))
        assert all(env.observation_space.contains(vector) for vector in observed)
        assert all("episode" in info for info in infos)

    def test_masks_reach_the_contrib(self):
        from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

        env = self.make(vocabulary=None, num_envs=64, slots=2)
        env.reset()
        masks = get_action_masks(env)
        assert is_masking_supported(env)
        assert masks.shape == (64, 2 * 1200)
        assert masks[:, [0, 1200]].all()
        texts = env.task.dataset.texts(
            env.task.dataset.index.positions([info["request_id"] for info in env.reset_infos])
        )
        assert (masks == env.edits.masks(texts)).all()
        assert not masks.all()

    @pytest.mark.parametrize("id", [ID, REFINE])
    @pytest.mark.parametrize("algorithm", ["PPO", "MaskablePPO"])
    @pytest.mark.parametrize("own", [True, False])
    def test_it_learns_and_comes_back_from_its_folder(self, id, algorithm, own, tmp_path):
        env = self.make(id, num_envs=8, action="append", baseline="raw")
        networks = {"PPO": self.sb3.WordSlotsPolicy, "MaskablePPO": self.sb3.MaskableWordSlotsPolicy}[algorithm]
        model = self.sb3.ALGORITHMS[algorithm](
            networks if own else "MlpPolicy", env, n_steps=3, batch_size=12, n_epochs=2, seed=0, device="cpu"
        )
        before = {key: value.clone() for key, value in model.policy.state_dict().items()}
        model.learn(48)
        assert model.num_timesteps == 48
        assert len(model.ep_info_buffer) == (16 if id == REFINE else 48)
        assert any((before[key] != value).any() for key, value in model.policy.state_dict().items())

        policy = self.sb3.SB3Policy(model, env.edits, env.task)
        policy.save(tmp_path / "policy")
        val = env.task.replace(split="val")
        rows = list(val.rows())[:40]
        again = self.sb3.load_policy(tmp_path / "policy", val)
        assert again(rows) == policy(rows)
        assert type(again.model).__name__ == algorithm
        evaluation = evaluate(val, again, progress=False)
        assert 0 <= evaluation.values("ndcg@10").mean() <= 1

    def test_the_policy_sees_what_the_environment_showed(self):
        env = self.make(REFINE, num_envs=4, action="append")
        observed = env.reset()
        ids = [info["request_id"] for info in env.reset_infos]
        episodes = env.task.start(ids)
        for turn in (1, 2):
            shown = env.edits.vectors([row[reads(env.task)] for row in env.task.rows_of(episodes)])
            assert (shown == observed).all()
            actions = np.full((4, 3), turn)
            episodes, _, _ = env.task.advance(episodes, env.edits.texts(actions))
            observed = env.step(actions)[0]

    def test_completions_take_the_form_of_the_action_format(self):
        env = self.make(protocol="paper", num_envs=4)
        env.reset()
        infos = env.step(np.array([[1, 2, 0]] * 4))[3]
        assert [info["query"] for info in infos] == ["lamp wool"] * 4
        assert all(info["parse_ok"] for info in infos)
        model = self.sb3.PPO(self.sb3.WordSlotsPolicy, env, n_steps=2, batch_size=8, device="cpu", seed=0)
        rows = list(env.task.rows())[:3]
        policy = self.sb3.SB3Policy(model, env.edits, env.task, deterministic=False)
        assert env.task.score([row["request_id"] for row in rows], policy(rows)).parse_ok.all()

    def test_bad_arguments_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="baseline is None or 'raw'"):
            self.make(baseline="group")
        with pytest.raises(ValueError, match="order"):
            self.make(RERANK)
        with pytest.raises(FileNotFoundError, match="does not hold a policy"):
            self.sb3.load_policy(tmp_path, rec_gym.make_task(ID, items=600))
        env = self.make(num_envs=2)
        with pytest.raises(ValueError, match="a reset"):
            env.step(np.zeros((2, 3), int))
        env.reset()
        with pytest.raises(ValueError, match="each of the 2 members"):
            env.step(np.zeros((3, 3), int))
        with pytest.raises(ValueError, match="int cannot be saved"):
            self.sb3.SB3Policy(1, env.edits, env.task).save(tmp_path / "policy")
        assert not (tmp_path / "policy").exists()

    @pytest.mark.parametrize("name", ["A2C", "TRPO"])
    def test_other_algorithms_learn_with_the_shared_slots(self, name, tmp_path):
        import sb3_contrib
        import stable_baselines3

        kind = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
        env = self.make(num_envs=16)
        batch = {"batch_size": 64} if name == "TRPO" else {}
        model = kind(self.sb3.WordSlotsPolicy, env, n_steps=4, gamma=0.0, seed=0, device="cpu", **batch)
        assert not model.policy.action_net.weight.any()
        model.learn(16 * 4 * 2)
        assert model.policy.action_net.weight.any()
        self.sb3.SB3Policy(model, env.edits, env.task).save(tmp_path / "policy")
        rows = list(env.task.rows())[:5]
        written = self.sb3.SB3Policy(model, env.edits, env.task)(rows)
        assert self.sb3.load_policy(tmp_path / "policy", env.task)(rows) == written

    def test_dqn_learns_with_discrete_actions(self, tmp_path):
        from stable_baselines3 import DQN

        env = self.make(num_envs=4, slots=1, discrete=True, action="append")
        model = DQN("MlpPolicy", env, learning_starts=8, buffer_size=200, batch_size=8, seed=0, device="cpu")
        model.learn(64)
        policy = self.sb3.SB3Policy(model, env.edits, env.task)
        rows = list(env.task.rows())[:5]
        assert set(policy(rows)) <= {"", *WORDS}
        policy.save(tmp_path / "policy")
        assert self.sb3.load_policy(tmp_path / "policy", env.task)(rows) == policy(rows)


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
