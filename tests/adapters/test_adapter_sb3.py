"""The environment and policies for Stable-Baselines3."""

import importlib
import sys
import warnings

import numpy as np
import pytest

import rec_gym
from rec_gym.adapters.query_edits import QueryEditEnv, QueryEdits, reads
from rec_gym.evaluation import evaluate

ID, REFINE, RERANK = (f"RecR1-CornerShop{kind}-BM25-v0" for kind in ("", "Refine", "Rerank"))
WORDS = ["lamp", "wool", "steel", "blanket", "coffee table"]


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
