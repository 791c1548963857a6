"""Texts of all kinds against every embedded id and action format, and random runs against trec_eval."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rec_gym
from benchmarks.attack import ATTACKS, main
from benchmarks.attacks import fuzz, runs
from benchmarks.attacks.texts import FRAGMENTS, WORST

hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=12).map("".join)


def test_texts_of_all_kinds_keep_what_a_task_promises(embedded_id):
    draw = random.Random(embedded_id)
    for task in fuzz.tasks(embedded_id):
        ids, texts = fuzz.completions(task, draw, 48)
        fuzz.check(task, ids, texts)
        fuzz.check_single(task, ids[:2], texts[:2])


@pytest.fixture(scope="module", params=["RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRerank-BM25-v0"])
def tasks(request):
    return list(fuzz.tasks(request.param))


@given(texts=st.lists(hostile, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_that_are_searched_for_keep_it_too(tasks, texts):
    for task in tasks:
        fuzz.check(task, task.request_ids[: len(texts)], texts)


@pytest.mark.parametrize("name", WORST)
def test_the_worst_texts_have_outcomes(tasks, name):
    draw = random.Random(name)
    for task in tasks:
        text = WORST[name](draw)
        outcomes = fuzz.check(task, task.request_ids[:2], [text, task.action.compose(text, "")])
        assert all(len(query) <= task.action.max_chars for query in outcomes.queries)


def test_random_runs_have_the_measures_of_trec_eval():
    assert runs.check(random.Random(0), 150) == 150 * len(runs.TREC)


def test_a_wrong_reward_is_noticed():
    task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600)
    score = task.score

    def wrong(ids, texts):
        outcomes = score(ids, texts)
        return outcomes.with_rewards(outcomes.rewards + 1.5)

    task.score = wrong
    with pytest.raises(AssertionError, match="are outside"):
        fuzz.check(task, task.request_ids[:1], ["lamp"])


def test_the_command_says_how_much_it_has_tried(capsys):
    assert {"fuzz", "measures"} <= set(ATTACKS)
    main(["measures", "--seconds", "0"])
    assert capsys.readouterr().out.startswith("measures: nothing found in ")
