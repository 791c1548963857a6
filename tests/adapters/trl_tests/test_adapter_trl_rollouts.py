"""TRL over several turns in a real GRPOTrainer that is told what to write; it is the oracle of the policy for evaluation."""

import json

import pytest
from trl_script import Failing, scripted, tool_call, trainer_test

import rec_gym
from rec_gym.adapters.trl import ToolPolicy
from rec_gym.evaluation import evaluate
from rec_gym.recommenders.base import RecommenderError


def raw_call(**function):
    return f"<tool_call>\n{json.dumps(function)}\n</tool_call>"


SCRIPTS = [
    [tool_call("blanket"), tool_call("castle blocks"), "done"],
    [tool_call("blanket") + tool_call("castle blocks"), "done"],
    [tool_call("blanket") + tool_call("lamp") + tool_call("desk") + tool_call("too late"), "done"],
    [*map(tool_call, ("blanket", "castle blocks", "lamp", "too late", "too late")), "done"],
    [tool_call("blanket", name="get_reward"), tool_call("blanket"), "done"],
    [tool_call("blanket", name="lookup") + tool_call("lamp"), "done"],
    [raw_call(name="search", arguments={"text": "lamp"}), tool_call("lamp"), "done"],
    [raw_call(name="search", arguments={"query": 5}) + tool_call("desk"), tool_call("lamp"), "done"],
    [raw_call(name="search"), tool_call("lamp"), "done"],
    [raw_call(name="search", arguments=["lamp"]), tool_call("lamp"), "done"],
    ['<tool_call>\n{"name": "search"', tool_call("never"), "done"],
    ["no search at all"],
    [tool_call("lamp"), "I have it."],
    [*[tool_call("lamp", name="lookup")] * 5, tool_call("lamp"), "done"],
]


@trainer_test
@pytest.mark.parametrize(
    ("iterations", "tokens", "queries"),
    [
        (6, 1000, [2, 2, 3, 3, 1, 1, 1, 2, 1, 1, 0, 0, 1, 1]),
        (4, 1000, [2, 2, 3, 3, 1, 1, 1, 2, 1, 1, 0, 0, 1, 0]),
        (6, 160, None),  # answers of the tool no longer fit, and messages are cut off
    ],
)
def test_an_evaluation_plays_as_the_trainer_rolls_out(tmp_path, iterations, tokens, queries):
    """Oracle: TRL's own loop on the same messages, to the token that the model reads."""
    refine = rec_gym.make_task("RecR1-CornerShopRefine-BM25-v0", items=600, reward="ndcg@10", split="val")
    config = {"num_generations": 2, "max_completion_length": tokens, "max_tool_calling_iterations": iterations}
    trainer, environments, rolled = scripted(tmp_path, refine, [each for each in SCRIPTS for _ in range(2)], **config)
    trainer.train()
    rollouts = dict(zip([each.episode.request_id for each in environments[::2]], range(len(SCRIPTS)), strict=True))
    assert len(rollouts) == len(SCRIPTS)
    prompts = [tuple(read[0]) for read in rolled[::2]]
    read, played = [[] for _ in SCRIPTS], {}

    from trl_policy import TrainerPolicy

    class Scripted(TrainerPolicy):
        def write(self, given, room):
            written = []
            for ids, most in zip(given, room, strict=True):
                rollout = next((i for i, prompt in enumerate(prompts) if prompt == tuple(ids[: len(prompt)])), None)
                text = "done"  # the requests that the trainer did not draw
                if rollout is not None and most > 0:
                    text = SCRIPTS[rollout][len(read[rollout])]
                    read[rollout].append(ids)
                written.append(self.tokenizer(text + "<|im_end|>")["input_ids"][: max(0, most)])
            return written

    policy = ToolPolicy(refine, Scripted(trainer, batch=8).with_tools, iterations)

    def recorded(rows):
        completions = policy(rows)
        for row, completion in zip(rows, completions, strict=True):
            played.setdefault(row["request_id"], []).append(completion)
        return completions

    scored = evaluate(refine, recorded, measures=["ndcg@10"], progress=False)
    returns = dict(zip(scored.request_ids, scored.rewards, strict=True))
    for (name, rollout), environment in zip(rollouts.items(), environments[::2], strict=True):
        assert played[name] == environment.completions, SCRIPTS[rollout]
        assert returns[name] == pytest.approx(environment.get_reward())
        # TRL goes on asking when the episode has ended.
        assert read[rollout] == rolled[2 * rollout][: len(read[rollout])]
    asked = [sum(bool(query) for query in environment.episode.queries) for environment in environments[::2]]
    if queries is None:
        assert sum(asked) < 19
        assert max(map(len, read)) < 6
    else:
        assert asked == queries


@trainer_test
def test_calls_of_the_tool_are_turns_of_the_episode(tmp_path):
    refine = rec_gym.make_task("RecR1-CornerShopRefine-BM25-v0", items=600, reward="ndcg@10")
    scripts = [
        [tool_call("blanket"), tool_call("castle blocks"), tool_call("lamp"), tool_call("too late"), "done"],
        [tool_call("castle blocks"), "done"],
        ["no search at all"],
        [tool_call("blanket", name="get_reward"), tool_call("blanket"), "done"],
    ] * 2
    trainer, environments, _ = scripted(tmp_path, refine, scripts)
    trainer.train()
    assert len(environments) == 8
    queries = [environment.episode.queries for environment in environments[:4]]
    assert queries[0] == ("blanket", "castle blocks", "lamp")
    assert queries[1] == ("castle blocks",)
    assert queries[3] == ("blanket",)
    line = trainer.state.log_history[0]
    assert line["searches"] == pytest.approx((3 + 1 + 0 + 1) / 4)
    assert line["tools/failure_frequency"] == pytest.approx(2 / 14)  # get_reward is no tool
    paid = [environment.get_reward() for environment in environments]
    assert line["rewards/SearchEnvironment/mean"] == line["reward"] == pytest.approx(sum(paid) / 8, abs=1e-6)
    assert line["measure/ndcg@10"] == pytest.approx(line["reward"], abs=1e-6)
    once = refine.replace(turns=1)
    for environment in environments:
        asked = [query for query in environment.episode.queries if query]
        best = max((once.score([environment.episode.request_id], [query]).rewards[0] for query in asked), default=0.0)
        assert environment.get_reward() == pytest.approx(best)


@trainer_test
def test_a_failing_recommender_stops_the_trainer(tmp_path, dataset, overlap):
    task = rec_gym.Task(dataset, Failing(overlap), reward="ndcg@10", turns=3)
    scripts = [[tool_call("crash"), "done"], *[["nothing"]] * 7]
    trainer, *_ = scripted(tmp_path, task, scripts)
    with pytest.raises(RecommenderError, match="the server is down"):
        trainer.train()
