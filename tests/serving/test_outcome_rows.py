"""Single outcomes, and outcomes joined from parts, hold what the batch holds: for every id with embedded data."""

import pickle

import numpy as np

import rec_gym
from rec_gym.policies import make_policy
from rec_gym.serving.joined import join_outcomes
from rec_gym.serving.outcome import split_outcomes


def batch_of(task_id):
    """A batch in which some completions do not parse, and some earn something where the id has an oracle."""
    task = rec_gym.make_task(task_id, items=600)
    rows = list(task.rows())[:8]
    policy = make_policy("oracle" if task.dataset.has_oracle else "raw", task)
    return task, [row["request_id"] for row in rows], [*policy(rows[:6]), "", "<think>no end"]


def test_a_row_of_outcomes(embedded_id):
    task, ids, texts = batch_of(embedded_id)
    batch = task.score(ids, texts)
    columns = batch.columns()
    for place, outcome in enumerate(split_outcomes(batch)):
        assert outcome.columns() == {key: values[place] for key, values in columns.items()}
        assert (outcome.request_id, outcome.reward) == (ids[place], batch.rewards[place])
        assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_joined_outcomes(embedded_id):
    task, ids, texts = batch_of(embedded_id)
    whole = task.score(ids, texts)
    joined = join_outcomes([task.score(ids[start:stop], texts[start:stop]) for start, stop in ((0, 3), (3, 4), (4, 8))])
    assert joined.request_ids == whole.request_ids
    assert joined.rewards.tolist() == whole.rewards.tolist()
    for key, values in whole.columns().items():
        assert joined.columns()[key].tolist() == values.tolist(), key
    assert joined.ranks.values.tolist() == whole.ranks.values.tolist()
    assert np.array_equal(joined.rankings.items, whole.rankings.items)
    assert joined.searched == whole.searched
