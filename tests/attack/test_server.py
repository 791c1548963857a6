"""A real OpenEnv server under attack, in small: `python -m benchmarks.attack server` goes on for as long as wanted."""

import importlib.util
import random
import subprocess
import sys

import pytest

from benchmarks.attacks.worker import CHECKOUT

needs_openenv = [
    pytest.mark.trainer,
    pytest.mark.skipif(importlib.util.find_spec("openenv") is None, reason="OpenEnv is not installed"),
]


@pytest.fixture(scope="module")
def target():
    from benchmarks.attacks import server

    with server.serving() as target:
        yield target


def attack_on(target, seed):
    from benchmarks.attacks import server

    return server.Attack(target, random.Random(seed))


class TestServer:
    pytestmark = needs_openenv

    @pytest.mark.parametrize("kind", ["play_among_noise", "break_off", "send_too_much", "post"])
    def test_whatever_clients_send_the_server_keeps_what_it_promises(self, target, kind):
        for seed in (1, 2):
            assert getattr(attack_on(target, seed), kind)().total() > 0
        target.check_alive()

    def test_sessions_that_nobody_plays_give_up_their_slots(self):
        from benchmarks.attacks import server

        with server.serving("--idle-timeout", "1") as impatient:
            assert attack_on(impatient, 0).idle() == {"idle sessions ended": server.MAX_SESSIONS}

    def test_every_damaged_message_is_refused(self, target):
        attack = attack_on(target, 3)
        for _ in range(10):
            counts = attack.play_among_noise()
            assert counts["episodes with the task's rewards"] > 0

    def test_another_reward_is_noticed(self, target, monkeypatch):
        from benchmarks.attacks import server

        attack = attack_on(target, 4)
        attack.task = attack.task.replace(reward={"measure": "ndcg@10", "terms": {"format": 0.5}})
        monkeypatch.setattr(server, "mixture", lambda draw: "lamp")
        with pytest.raises(AssertionError, match="another reward for"):
            attack.play_among_noise()

    def test_a_message_that_is_understood_is_noticed(self, target, monkeypatch):
        from benchmarks.attacks import server

        monkeypatch.setattr(server, "damaged", lambda draw: '{"type": "state"}')
        with pytest.raises(AssertionError, match="is answered with"):
            attack_on(target, 5).play_among_noise()

    def test_a_server_that_grows_is_noticed(self, target, monkeypatch):
        target.check_memory()
        monkeypatch.setattr(target, "_warm", target._warm - (1 << 30))
        with pytest.raises(AssertionError, match="has grown by"):
            target.check_memory()

    def test_a_score_before_the_end_is_noticed(self):
        from benchmarks.attacks import server

        with server.serving("--scores-each-turn") as shown, pytest.raises(AssertionError, match="scores in turn 1"):
            attack_on(shown, 6).play_among_noise()


def test_without_openenv_the_attack_says_what_to_install():
    code = "import sys; sys.modules['openenv'] = None; from benchmarks.attack import main; main(['server'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT)
    assert done.stdout.startswith("server: not tried: pip install -c constraints.txt -e '.[openenv]'"), done.stderr
    assert done.stdout.count("\n") == 1
