"""OpenEnv: a real server on the loopback, and clients that talk to it."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import gymnasium as gym
import pytest
from helpers.word_overlap import WordOverlap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import rec_gym
from rec_gym.recommenders.base import RecommenderError

pytest.importorskip("openenv")
pytestmark = pytest.mark.trainer

import httpx  # noqa: E402
from openenv.core import GenericEnvClient  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from rec_gym.adapters.openenv import ClientError, RecommenderEnvironment, SharedTasks, app_of, make_app, serving  # noqa: E402
from rec_gym.adapters.openenv_client import RecommenderAction, RecommenderClient, RecommenderState  # noqa: E402
from rec_gym.adapters.openenv_guard import MAX_DEPTH, Limits  # noqa: E402
from rec_gym.cli import app as command_line  # noqa: E402

sys.path.append(str(Path(__file__).parents[2] / "examples"))  # examples import their neighbours

import openenv_client  # noqa: E402

SEARCH, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
RERANK = "RecR1-CornerShopRerank-BM25-v0"
SMALL = {"items": 600, "measures": ["recall@10"]}


class Recording(RecommenderClient):
    """A client that keeps every message that it is sent."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heard = []

    async def _receive(self):
        message = await super()._receive()
        self.heard.append(message)
        return message


@pytest.fixture(scope="module")
def search_url():
    with serving(make_app(SEARCH, **SMALL)) as url:
        yield url


@pytest.fixture(scope="module")
def refine_url():
    with serving(make_app(REFINE, **SMALL)) as url:
        yield url


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SEARCH, **SMALL)


def advance(task, episode, completion, scores_each_turn=False):
    """The episode after a turn, what a client must see of it, and the reward."""
    [episode], outcomes, [text] = task.advance([episode], [completion])
    seen = {
        "text": text,
        "request_id": episode.request_id,
        "split": task.split,
        "turn": episode.turn,
        "query": outcomes.queries[0],
        "filters": outcomes.filters[0] if outcomes.filters else "",
        "parse": outcomes.parse[0],
        "parse_ok": bool(outcomes.parse_ok[0]),
        "clipped": bool(outcomes.clipped[0]),
        "scored": bool(outcomes.scored[0]),
        "measures": {},
        "terms": {},
        "text_stats": {name: values[0] for name, values in outcomes.text_stats.items()},
        "done": episode.done,
        "reward": None,
        "metadata": {},
    }
    if episode.done or scores_each_turn:
        for group in ("measures", "terms"):
            seen[group] = {name: values[0] for name, values in getattr(outcomes, group).items()}
    return episode, seen, outcomes.rewards[0]


# Episodes


@pytest.mark.parametrize(
    ("task_id", "overrides"),
    [
        (SEARCH, {}),
        (
            SEARCH,
            {"action": "answer", "observation": "prompt", "reward": {"measure": "ndcg@10", "terms": {"format": 0.1}}},
        ),
        (SEARCH, {"split": "val", "protocol": "paper"}),
        (RERANK, {}),
        (REFINE, {}),
        (REFINE, {"turn_reward": "best"}),
        ("RecR1-CornerShopFilters-BM25-v0", {"turns": 3}),
    ],
)
def test_an_episode_is_that_of_the_task(task_id, overrides):
    task = rec_gym.make_task(task_id, **SMALL, **overrides)
    said = [
        "a warm blanket",
        '<answer>{"query": "lamp", "filters": {"price": {"<=": 50}}}</answer>',
        "[3] > [1]",
        "",
        "<think>",
        "w\x00x" * 20_000,
        "<stop>",
    ]
    with serving(app_of(task)) as url, RecommenderClient(url).sync() as client:
        for request_id in task.request_ids[:3]:
            [episode] = task.start([request_id])
            result = client.reset(request_id=request_id)
            assert result.observation.text == task.observe([episode])[0]
            assert (result.reward, result.done, result.observation.turn) == (None, False, 0)
            for completion in said * 2:
                if episode.done:
                    result = client.reset(request_id=request_id)
                    [episode] = task.start([request_id])
                result = client.step(completion)
                episode, seen, reward = advance(task, episode, completion)
                assert result.observation.model_dump() == seen
                assert (result.reward, result.done) == (reward, seen["done"])


def test_sixteen_sessions_side_by_side_do_not_mix(refine_url):
    task = rec_gym.make_task(REFINE, **SMALL)
    ids = task.request_ids[:16]
    turns = ["{} blanket", "lamp {}", "{} {}"]

    async def episode(name, text):
        async with RecommenderClient(refine_url) as client:
            results = [await client.reset(request_id=name, episode_id=f"episode {name}")]
            for number, turn in enumerate(turns, 1):
                results.append(await client.step(turn.format(text, text)))
                state = await client.state()
                assert (state.episode_id, state.step_count, state.request_id) == (f"episode {name}", number, name)
            return results

    async def everyone():
        return await asyncio.gather(*(episode(row["request_id"], row["text"]) for row in rows))

    rows = task.rows_of(task.start(ids))
    for row, (first, *results) in zip(rows, asyncio.run(everyone()), strict=True):
        [running] = task.start([row["request_id"]])
        assert first.observation.text == row["text"]
        for turn, result in zip(turns, results, strict=True):
            running, seen, _ = advance(task, running, turn.format(row["text"], row["text"]))
            assert result.observation.model_dump() == seen


def test_sessions_that_step_together_are_searched_together(monkeypatch):
    task = rec_gym.make_task(REFINE, **SMALL)
    sizes, advance_all = [], task.advance

    def noted(episodes, completions):
        sizes.append(len(episodes))
        return advance_all(episodes, completions)

    monkeypatch.setattr(task, "advance", noted)

    async def everyone(url):
        clients = [RecommenderClient(url) for _ in range(32)]
        await asyncio.gather(*(client.connect() for client in clients))
        for _ in range(3):
            await asyncio.gather(*(client.reset(index=place) for place, client in enumerate(clients)))
            for turn in ("storage box", "lamp", "wool blanket"):
                results = await asyncio.gather(*(client.step(turn) for client in clients))
        await asyncio.gather(*(client.close() for client in clients))
        return results

    with serving(app_of(task)) as url:
        results = asyncio.run(everyone(url))
    assert [result.observation.request_id for result in results] == task.request_ids[:32]
    assert sum(sizes) == 3 * 3 * 32
    assert max(sizes) > 4
    assert len(sizes) < sum(sizes) / 2


def test_a_session_without_an_event_loop_plays_alike(task):
    """OpenEnv's plain HTTP routes and other callers use the methods that are no coroutines."""
    shared = SharedTasks(task)
    one, other = RecommenderEnvironment(shared), RecommenderEnvironment(shared)
    for split in (None, "val"):
        begun = asyncio.run(other.reset_async(seed=4, split=split, episode_id="e"))
        assert one.reset(seed=4, split=split, episode_id="e") == begun
        action = RecommenderAction(text="storage box")
        assert one.step(action) == asyncio.run(other.step_async(action))
        assert one.state == other.state
    with pytest.raises(ClientError, match="no running episode"):
        one.step(action)


def play(client):
    """Two episodes, one of them stopped; all that the client was sent."""
    for said in (["lamp", "<stop>"], ["", "<think>", "lamp"]):
        client.reset(seed=3)
        for text in said:
            client.step(text)
    return [message["data"] for message in client.async_client.heard]


def test_fields_are_the_same_after_every_message(refine_url):
    with Recording(refine_url).sync() as client:
        heard = play(client)
    assert len(heard) == 7
    assert len({tuple(data["observation"]) for data in heard}) == 1
    assert all(set(data) == {"observation", "reward", "done"} for data in heard)
    for data in heard:
        for group in ("measures", "terms", "text_stats"):
            assert all(type(value) is float for value in data["observation"][group].values())


def test_no_score_is_in_an_observation_before_the_episode_ends(refine_url):
    """A client that knows nothing of this environment hands the whole observation to its model."""
    with GenericEnvClient(refine_url).sync() as client:
        results = [client.reset(seed=3), *(client.step({"text": text}) for text in ("storage box", "lamp", "box"))]
    assert [result.done for result in results] == [False, False, False, True]
    for result in results[:3]:
        assert (result.observation["measures"], result.observation["terms"]) == ({}, {})
        assert "reward" not in result.observation
    assert results[1].reward is not None  # the protocol has it beside the observation
    assert sorted(results[3].observation["measures"]) == ["ndcg@100", "recall@10"]
    assert results[3].observation["terms"]


def test_a_server_may_show_scores_each_turn():
    task = rec_gym.make_task(REFINE, **SMALL)
    with serving(app_of(task, scores_each_turn=True)) as url, Recording(url).sync() as client:
        heard = play(client)
        client.reset(index=0)
        _, seen, reward = advance(task, task.start(task.request_ids[:1])[0], "storage box", scores_each_turn=True)
        result = client.step("storage box")
    assert result.observation.model_dump() == seen
    assert result.reward == reward
    assert {tuple(sorted(data["observation"]["measures"])) for data in heard} == {("ndcg@100", "recall@10")}
    assert heard[0]["observation"]["measures"] == {"ndcg@100": 0.0, "recall@10": 0.0}


def test_a_client_takes_an_action_as_well_as_a_text(search_url):
    with RecommenderClient(search_url).sync() as client:
        rewards = []
        for action in ("desk lamp", RecommenderAction(text="desk lamp")):
            client.reset(index=0)
            rewards.append(client.step(action).reward)
    assert rewards[0] == rewards[1]


# Which request


def test_a_seed_gives_the_order_of_the_gymnasium_environment(search_url):
    for split in ("train", "ood-type"):
        env = gym.make(SEARCH, **SMALL, split=split)
        wanted = [env.reset(seed=7)[1]["request_id"]] + [env.reset()[1]["request_id"] for _ in range(5)]
        with RecommenderClient(search_url).sync() as one, RecommenderClient(search_url).sync() as two:
            for client in (one, two, one):
                named = {} if split == "train" else {"split": split}
                results = [client.reset(seed=7, **named)] + [client.reset(**named) for _ in range(5)]
                assert [result.observation.request_id for result in results] == wanted
                assert {result.observation.split for result in results} == {split}
        assert len(set(wanted)) == len(wanted)


def test_another_seed_gives_another_order_and_a_named_request_does_not_move_it(search_url, task):
    with RecommenderClient(search_url).sync() as client:
        plain = [client.reset(seed=1).observation.request_id] + [
            client.reset().observation.request_id for _ in range(3)
        ]
        broken = [client.reset(seed=1).observation.request_id]
        for _ in range(3):
            assert client.reset(request_id=task.request_ids[5]).observation.request_id == task.request_ids[5]
            broken.append(client.reset().observation.request_id)
        other = [client.reset(seed=2).observation.request_id] + [
            client.reset().observation.request_id for _ in range(3)
        ]
    assert broken == plain
    assert other != plain


def test_a_group_plays_one_request(search_url, task):
    async def group():
        clients = [RecommenderClient(search_url) for _ in range(8)]
        await asyncio.gather(*(client.connect() for client in clients))
        leader, *others = clients
        first = await leader.reset(seed=0)
        await asyncio.gather(*(client.reset(request_id=first.observation.request_id) for client in others))
        said = ["storage" + " box" * number for number in range(8)]
        results = await asyncio.gather(*(client.step(text) for client, text in zip(clients, said, strict=True)))
        await asyncio.gather(*(client.close() for client in clients))
        return said, results

    said, results = asyncio.run(group())
    [name] = {result.observation.request_id for result in results}
    assert [result.reward for result in results] == task.score([name] * 8, said).rewards.tolist()


def test_the_list_of_tasks_names_requests_split_by_split(search_url, task):
    def post(route, **body):
        return httpx.post(f"{search_url}/{SEARCH}/{route}", json=body)

    splits = httpx.get(f"{search_url}/{SEARCH}/splits").json()
    assert [split["name"] for split in splits] == list(task.dataset.splits)
    assert {split["name"]: split["type"] for split in splits} == {
        "train": "train", "val": "validation", "test": "test", "ood-combination": "test", "ood-phrasing": "test",
        "ood-type": "test",
    }  # fmt: skip
    with RecommenderClient(search_url).sync() as client:
        for name in task.dataset.splits:
            held = task.replace(split=name)
            listed = post("tasks", split=name).json()["tasks"]
            assert [one["id"] for one in listed] == held.request_ids
            assert [one["index"] for one in listed] == list(range(len(held)))
            assert post("num_tasks", split=name).json() == {"num_tasks": len(held)}
            assert post("task_range", split=name, start=-2).json()["tasks"] == listed[-2:]
            assert post("task_range", split=name, start=3, stop=3).json()["tasks"] == []
            assert post("task", split=name, index=3).json()["task"] == listed[3]
            for chosen in ({"index": 3}, {"request_id": listed[3]["id"]}):
                observation = client.reset(split=name, **chosen).observation
                assert (observation.request_id, observation.text) == (listed[3]["id"], listed[3]["text"])
                assert client.step("lamp").reward == held.score([listed[3]["id"]], ["lamp"]).rewards[0]
    for index in (len(task), -1):
        assert post("task", split="train", index=index).status_code == 400
    refused = post("tasks", split="nope")
    assert (refused.status_code, "choose from: train, val" in refused.json()["detail"]) == (400, True)


# What goes wrong


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"request_id": "nope"}, "unknown request id: 'nope'"),
        ({"request_id": "\ud800"}, "unknown request id: '\ufffd'"),
        ({"request_id": 5}, "request_id is a text, not 5"),
        ({"request_id": "test-00001"}, "not in split 'train'; name its split too"),
        ({"request_id": "train-00001", "index": 0}, "not by both"),
        ({"index": -1}, "from 0 to 1,999 in split 'train', not -1"),
        ({"index": 2000}, "not 2000"),
        ({"index": True}, "not True"),
        ({"index": "0"}, "not '0'"),
        ({"split": "nope"}, "unknown split 'nope'; choose from: train, val, test"),
        ({"split": ["val"]}, "unknown split"),
        ({"split": "all"}, "unknown split 'all'"),
        ({"seed": -1, "request_id": "train-00001"}, "Seed must be greater"),
        ({"seed": "0"}, "Seed must be a python integer"),
        ({"seed": 5, "request_id": "nope"}, "unknown request"),
        ({"episode_id": 5}, "episode_id is a text, not 5"),
        ({"options": {}}, "reset takes seed, episode_id, request_id, split, index; not 'options'"),
    ],
)
def test_a_reset_that_is_refused_says_why_and_changes_nothing(search_url, task, asked, answer):
    with RecommenderClient(search_url).sync() as client, RecommenderClient(search_url).sync() as other:
        ids = [client.reset(seed=1).observation.request_id, client.reset().observation.request_id]
        other.reset(seed=1)
        with pytest.raises(RuntimeError, match=answer):
            client.reset(**asked)
        assert client.state().request_id == ids[1]
        result = client.step("lamp")
        assert (result.observation.request_id, result.reward) == (ids[1], task.score(ids[1:], ["lamp"]).rewards[0])
        assert other.reset().observation.request_id == ids[1]
        assert client.reset().observation.request_id == other.reset().observation.request_id


def test_a_step_without_an_episode_is_refused(search_url):
    with RecommenderClient(search_url).sync() as client:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no running episode; call reset first"):
                client.step("lamp")
            assert client.reset(index=0).observation.turn == 0
            assert client.step("lamp").done


def test_plain_http_keeps_no_episode_and_says_so(search_url):
    started = httpx.post(f"{search_url}/reset", json={"request_id": "train-00001"}).json()
    assert started["observation"]["request_id"] == "train-00001"
    stepped = httpx.post(f"{search_url}/step", json={"action": {"text": "lamp"}})
    assert (stepped.status_code, "rather than plain HTTP" in stepped.json()["detail"]) == (400, True)
    refused = httpx.post(f"{search_url}/reset", json={"request_id": "nope"})
    assert (refused.status_code, refused.json()) == (400, {"detail": "unknown request id: 'nope'"})
    assert httpx.post(f"{search_url}/step", json={"action": {"words": "lamp"}}).status_code == 422
    assert httpx.get(f"{search_url}/metadata").json()["name"] == SEARCH
    assert httpx.get(f"{search_url}/health").json() == {"status": "healthy"}


@pytest.mark.parametrize(
    "body", ['{"split": "\\ud800", "\\udfff": 1}', '{"split": NaN}', '{"split": 1e400}', '{"split"']
)
def test_a_body_that_no_answer_could_quote_is_the_clients_fault(search_url, body):
    for route in ("reset", "step", f"{SEARCH}/tasks", f"{SEARCH}/task"):
        answer = httpx.post(f"{search_url}/{route}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"]
    answer = httpx.post(f"{search_url}/mcp", content='{"jsonrpc": "2.0", "id": "\\ud800", "method": "\\ud800"}')
    assert answer.json()["id"] == "\ufffd"


def test_a_recommender_that_fails_is_an_error_and_the_step_may_be_tried_again(catalog, dataset):
    class Fragile(WordOverlap):
        broken = False

        def rank(self, queries, k, exclude=None):
            if self.broken:
                raise RecommenderError("the engine is away")
            return super().rank(queries, k, exclude)

    engine = Fragile(catalog)
    task = rec_gym.Task(dataset, engine, reward="ndcg@10")
    with serving(app_of(task)) as url, RecommenderClient(url).sync() as client:
        client.reset(request_id="q1")
        engine.broken = True
        with pytest.raises(RuntimeError, match="the engine is away"):
            client.step("red chair")
        engine.broken = False
        result = client.step("red chair")
    assert (result.observation.turn, result.reward) == (1, task.score(["q1"], ["red chair"]).rewards[0])


def test_a_session_too_many_is_refused_until_another_ends(catalog, dataset):
    task = rec_gym.Task(dataset, WordOverlap(catalog), reward="ndcg@10")
    with serving(app_of(task, Limits(max_sessions=2))) as url:
        with RecommenderClient(url).sync() as one, RecommenderClient(url).sync() as two:
            one.reset(index=0)
            two.reset(index=1)
            with RecommenderClient(url).sync() as three, pytest.raises(RuntimeError, match="2/2|capacity"):
                three.reset(index=0)
            assert one.step("red chair").reward > 0
        for _ in range(500):  # the server notices in its own time
            try:
                with RecommenderClient(url).sync() as three:
                    assert three.reset(index=2).observation.request_id == "q3"
                break
            except RuntimeError:
                time.sleep(0.01)
        else:
            pytest.fail("sessions that ended still count")


def nested(depth):
    return '{"type": "reset", "data": {"split": ' + "[" * depth + "]" * depth + "}}"


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("[]", "a JSON object, not a list"),
        ("5", "a JSON object, not a int"),
        ("null", "not a NoneType"),
        ('"reset"', "not a str"),
        ("{", "a JSON object: Expecting"),
        ("", "a JSON object: Expecting"),
        ('{"type": "reset", "data": {"seed": ' + "9" * 5000 + "}}", "a JSON object: Exceeds the limit"),
        (nested(MAX_DEPTH), "nested at most 16 deep"),
        (nested(200_000), "nested at most 16 deep"),
        ('{"type": "reset", "data": {"index": NaN}}', "NaN is not a finite number"),
        ('{"type": "reset", "data": {"index": 1e400}}', "1e400 is not a finite number"),
        (b'{"type": "state"}', "not a binary frame"),
        (b"\xff\x00", "not a binary frame"),
        ('{"type": "nope"}', "Unknown message type: nope"),
        ('{"type": ["reset"]}', "Unknown message type"),
        ('{"type": "step", "data": 5}', "Invalid message"),
        ('{"type": "step", "data": {"text": 5, "\\ud800": "\\udfff"}}', "Invalid message"),
        (nested(3), "unknown split [[[]]]"),
    ],
)
def test_an_invalid_message_gets_one_error_and_the_session_goes_on(search_url, message, answer):
    with connect(search_url.replace("http", "ws") + "/ws") as socket:

        def ask(message):
            socket.send(message)
            return json.loads(socket.recv(timeout=30))

        started = ask('{"type": "reset", "data": {"index": 3}}')["data"]["observation"]
        refused = ask(message)
        assert refused["type"] == "error"
        assert answer in refused["data"]["message"]
        assert ask('{"type": "state"}')["data"]["request_id"] == started["request_id"]
        assert ask('{"type": "step", "data": {"text": "lamp"}}')["data"]["done"]


def test_any_episode_id_can_be_sent(search_url):
    with RecommenderClient(search_url).sync() as client:
        client.reset(index=0, episode_id="a \ud800 name")
        assert client.state().episode_id == "a \ufffd name"
    assert RecommenderState(episode_id="\ud800").episode_id == "\ufffd"


def small_app(catalog, dataset, **limits):
    return app_of(rec_gym.Task(dataset, WordOverlap(catalog), reward="ndcg@10"), Limits(**limits))


def test_a_message_that_is_too_long_ends_its_session_only(catalog, dataset):
    with serving(small_app(catalog, dataset, max_message_bytes=1000)) as url:
        with RecommenderClient(url).sync() as client, RecommenderClient(url).sync() as other:
            client.reset(index=0)
            other.reset(index=0)
            with pytest.raises(ConnectionClosed) as closed:
                client.step("x" * 1000)
            assert closed.value.rcvd.code == 1009
            assert other.step("red chair").done
            with pytest.raises(RuntimeError, match="no running episode; call reset first"):
                client.step("red chair")  # a new session, as the client connects again
        refused = httpx.post(f"{url}/step", json={"action": {"text": "x" * 1000}})
        assert (refused.status_code, refused.json()["detail"]) == (413, "the body has more than 1,000 bytes")
        assert httpx.post(f"{url}/reset", json={"index": 0}).status_code == 200


def test_the_app_itself_keeps_to_the_length_of_a_message(catalog, dataset):
    """Under another ASGI server than uvicorn, which has a limit of its own."""
    with (
        TestClient(small_app(catalog, dataset, max_message_bytes=100)) as client,
        client.websocket_connect("/ws") as socket,
    ):
        socket.send_text("x" * 101)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert (closed.value.code, closed.value.reason) == (1009, "a message of 101 bytes; the limit is 100")


def until_free(url):
    """Waits until the server has a session to give."""
    for _ in range(1500):
        try:
            with RecommenderClient(url).sync() as client:
                return client.reset(index=0)
        except RuntimeError:  # the server is full
            time.sleep(0.02)
    pytest.fail("an idle session still holds its slot")


@pytest.mark.parametrize("keeps_alive", ["nothing", "state", "noise"])
def test_an_idle_session_gives_up_its_slot(catalog, dataset, keeps_alive):
    """Only a reset or a step says that a session is played; asking for its state does not."""
    message = {"state": '{"type": "state"}', "noise": "[]"}.get(keeps_alive)

    def talk(socket):
        while True:
            if message:
                socket.send(message)
            socket.recv(timeout=30)

    with (
        serving(small_app(catalog, dataset, max_sessions=1, idle_timeout=0.3)) as url,
        connect(url.replace("http", "ws") + "/ws") as socket,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            talk(socket)
        end = closed.value.rcvd
    assert (end.code, end.reason) == (1000, "no reset or step for 0.3 s; connect again and call reset")


def test_a_slot_of_an_idle_session_is_given_to_another(catalog, dataset):
    with serving(small_app(catalog, dataset, max_sessions=1, idle_timeout=0.5)) as url:
        with connect(url.replace("http", "ws") + "/ws"):
            assert until_free(url).observation.request_id
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
        assert "session_id" in httpx.post(f"{url}/mcp", json=create).json()["result"]
        assert until_free(url).observation.request_id


def test_a_long_search_is_not_idle(catalog, dataset):
    class Slow(WordOverlap):
        def rank(self, queries, k, exclude=None):
            time.sleep(0.5)
            return super().rank(queries, k, exclude)

    task = rec_gym.Task(dataset, Slow(catalog), reward="ndcg@10")
    with serving(app_of(task, Limits(idle_timeout=0.4))) as url, RecommenderClient(url).sync() as client:
        client.reset(index=0)
        assert client.step("red chair").reward > 0
        assert client.reset(index=0).observation.turn == 0


def test_idle_sessions_may_be_kept(catalog, dataset):
    app = small_app(catalog, dataset, idle_timeout=None)
    with serving(app) as url, RecommenderClient(url).sync() as client:
        client.reset(index=0)
        assert client.step("red chair").done


@pytest.mark.parametrize("limits", [{"max_sessions": 0}, {"idle_timeout": 0}, {"max_message_bytes": -1}])
def test_a_limit_is_above_zero(limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be above 0"):
        Limits(**limits)


def test_a_port_that_is_taken_is_reported(search_url):
    port = int(search_url.rpartition(":")[2])
    app = app_of(rec_gym.make_task(SEARCH, **SMALL))
    with pytest.raises(RuntimeError, match="is the port taken"), serving(app, port=port):
        pass


# Texts


@pytest.fixture(scope="module")
def talker(refine_url):
    with RecommenderClient(refine_url).sync() as client:
        yield client


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(ANY_TEXT, min_size=3, max_size=3))
def test_any_text_can_be_sent(talker, said):
    task = rec_gym.make_task(REFINE, **SMALL)
    [episode] = task.start(task.request_ids[:1])
    talker.reset(index=0)
    for text in said:
        carried = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        result = talker.step(text)
        episode, seen, _ = advance(task, episode, carried)
        assert result.observation.model_dump() == seen
        if episode.done:
            break


@pytest.mark.parametrize("written", ["a \ud800 lamp", "\udfff", '{"query": "a \\ud800 lamp"}'])
def test_half_characters_do_not_keep_an_answer_from_being_sent(written):
    task = rec_gym.make_task(REFINE, **SMALL, action="answer")
    with serving(app_of(task)) as url, RecommenderClient(url).sync() as client:
        client.reset(index=0)
        result = client.step(f"<answer>{written}</answer>")
        assert "\ufffd" in result.observation.query
        assert "\ufffd" in result.observation.text
        assert client.step("<answer>lamp</answer>").observation.turn == 2


# What must not leave the server


def test_what_is_relevant_never_leaves_the_server(catalog):
    requests = [
        {
            "id": "q1",
            "text": "a seat",
            "split": "train",
            "gains": {"chair-r": 0.7311, "rug": 0.2689},
            "oracle": "red chair",
        },
        {"id": "q2", "text": "to write", "split": "train", "gains": {"desk": 0.9173}, "oracle": "oak desk"},
        {"id": "q3", "text": "evenings", "split": "test", "gains": {"lamp-r": 0.5621}, "oracle": "red lamp"},
    ]
    dataset = rec_gym.Dataset.from_requests(catalog, requests)
    task = rec_gym.Task(dataset, WordOverlap(catalog), reward="recall@5", turns=3, name="Mine")
    with serving(app_of(task)) as url:
        with Recording(url).sync() as client:
            for split, index in (("train", 0), ("train", 1), ("test", 0)):
                client.reset(split=split, index=index)
                for text in ("wool", "calm", "nothing"):
                    client.step(text)
                client.state()
            with pytest.raises(RuntimeError):
                client.reset(request_id="nope")
            heard = json.dumps(client.async_client.heard)
        for route in ("metadata", "schema", "state", "openapi.json", "Mine/splits"):
            heard += httpx.get(f"{url}/{route}").raise_for_status().text
        for split in ("train", "test"):
            heard += httpx.post(f"{url}/Mine/tasks", json={"split": split}).raise_for_status().text
    assert "a seat" in heard  # the requests have been heard
    assert "wool rug" in heard  # and what was found
    secrets = [
        "0.7311",
        "0.2689",
        "0.9173",
        "0.5621",
        "chair-r",
        "lamp-r",
        "red chair",
        "oak desk",
        "red lamp",
        "oracle",
    ]
    assert [secret for secret in secrets if secret in heard] == []
    assert "gains" not in heard


# As a program


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_server_starts_from_a_command_line(task):
    port = free_port()
    started = [sys.executable, "-m", "rec_gym.cli", "serve", SEARCH, "--port", str(port), "--set", "items=600"]
    started += ["--set", "action=append", "--set", 'measures=["recall@10"]', "--set", "split=val"]
    server = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while server.poll() is None:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        assert server.poll() is None, "the server has ended"
        appended = task.replace(action="append", split="val")
        with RecommenderClient(url).sync() as client:
            client.reset(index=4)
            result = client.step("lamp")
        _, seen, _ = advance(appended, appended.start([appended.request_ids[4]])[0], "lamp")
        assert result.observation.model_dump() == seen
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["RecR1-Nope-v0"], "unknown id"),
        ([SEARCH, "--set", "colour=red"], "colour"),
        ([SEARCH, "--set", "colour"], "KEY=VALUE"),
        ([SEARCH, "--set", "measures=[1"], "not a TOML value"),
    ],
)
def test_a_wrong_command_line_says_why(arguments, answer):
    done = CliRunner().invoke(command_line, ["serve", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert answer in done.stderr


def test_the_command_line_states_the_limits_of_the_server(monkeypatch):
    stated = {}
    monkeypatch.setattr("rec_gym.adapters.openenv.run", lambda app, host, port: stated.update(vars(app.state.limits)))
    assert CliRunner().invoke(command_line, ["serve", SEARCH, "--set", "items=600"]).exit_code == 0
    assert stated == vars(Limits())
    arguments = ["--max-sessions", "3", "--idle-timeout", "0", "--max-message-bytes", "99"]
    assert CliRunner().invoke(command_line, ["serve", SEARCH, "--set", "items=600", *arguments]).exit_code == 0
    assert stated == {"max_sessions": 3, "idle_timeout": None, "max_message_bytes": 99}


def test_neither_side_loads_torch():
    code = (
        "import sys\n"
        "from rec_gym.adapters.openenv import make_app\n"
        f"make_app({SEARCH!r}, items=600)\n"
        "print(sorted({'torch', 'transformers', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_openenv_the_error_names_what_to_install():
    for module in ("openenv", "openenv_client"):
        code = f"import sys; sys.modules['openenv'] = None; import rec_gym.adapters.{module}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "ImportError: this adapter needs OpenEnv: pip install 'rec-gym[openenv]'" in done.stderr


# The example


def test_the_example_plays_groups(refine_url, tmp_path, capsys):
    openenv_client.main(
        openenv_client.Arguments(url=refine_url, batches=2, groups=3, group_size=2, output=tmp_path),
    )
    assert "batch 1: reward" in capsys.readouterr().out
    found = json.loads((tmp_path / "rollouts.json").read_text())
    assert found["arguments"]["output"] == str(tmp_path)
    batches = found["batches"]
    env = gym.make(REFINE, **SMALL)
    wanted = [env.reset(seed=0)[1]["request_id"]] + [env.reset()[1]["request_id"] for _ in range(5)]
    assert [rollout["request_id"] for batch in batches for rollout in batch] == [
        name for name in wanted for _ in range(2)
    ]
    task = rec_gym.make_task(REFINE, **SMALL)
    for rollout in (rollout for batch in batches for rollout in batch):
        [episode] = task.start([rollout["request_id"]])
        for completion, reward in zip(rollout["completions"], rollout["rewards"], strict=True):
            episode, seen, paid = advance(task, episode, completion)
            assert reward == paid
        assert episode.done
        assert rollout["measures"] == seen["measures"]
