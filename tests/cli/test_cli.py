"""The command `rec-gym`: what it prints, what it saves, and how it fails."""

import csv
import importlib.abc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types

import pytest
from typer.testing import CliRunner

import rec_gym
from rec_gym.cards import cards
from rec_gym.cli import app
from rec_gym.cli.options import split_list
from rec_gym.overrides import overrides_of

BEIR = "RecR1-BEIR-BM25-v0"
runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small folder in BEIR's layout: two splits beside the val split that is carved from train."""
    path = tmp_path_factory.mktemp("beir")
    titles = ["red chair of oak", "blue lamp", "oak desk", "wool rug, red and warm", "café [chair]"]
    lines = [json.dumps({"_id": f"d{i}", "title": title, "text": ""}) for i, title in enumerate(titles)]
    (path / "corpus.jsonl").write_text("\n".join(lines))
    texts = ["a red seat", "light blue", "oak", "warm red feet", "a café chair"] * 8
    (path / "queries.jsonl").write_text("\n".join(json.dumps({"_id": f"q{i}", "text": t}) for i, t in enumerate(texts)))
    (path / "qrels").mkdir()
    for split, numbers in {"train": range(30), "test": range(30, 40)}.items():
        rows = [f"q{i}\td{i % 5}\t1" for i in numbers]
        (path / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return path


def run(*arguments, input=None):
    return runner.invoke(app, [str(argument) for argument in arguments], input=input)


def fails(*arguments):
    """The message of a foreseen error: one line, exit code 2, no traceback."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def needs_folder(card):
    """Whether the data of a card have to be given: they are neither in the package nor fetched."""
    return not card.embedded and not all(card.is_fetched(task_id) for task_id in card.ids)


class Missing(importlib.abc.MetaPathFinder):
    """What is not installed, as far as imports can tell."""

    def __init__(self, *names):
        self.names = names

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def in_process(*arguments, **keywords):
    """The command as a shell runs it, its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "rec_gym.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **keywords,
    )


class TestPiped:
    def test_output_is_plain_text_without_bars(self, folder):
        done = in_process("evaluate", BEIR, "--policy", "raw,rm3", "--split", "test", "--data-dir", folder)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert done.stderr == ""
        assert f"{BEIR}, split test, 10 requests" in done.stdout
        assert "rm3*" in done.stdout

    def test_ascii_output_does_not_fail(self, folder):
        environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        done = in_process("play", BEIR, "--data-dir", folder, input="cafe chair\n", env=environment)
        assert done.returncode == 0
        assert " [chair]" in done.stdout
        done = in_process("list", env=environment)
        assert done.returncode == 0
        assert BEIR in done.stdout

    def test_help_is_fast_because_nothing_heavy_is_loaded(self):
        code = (
            "import sys; sys.argv = ['rec-gym', '--help']\n"
            "from rec_gym.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(*[m for m in ('torch', 'scipy', 'numba', 'pyarrow', 'rec_gym.loop.task') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "evaluate" in done.stdout
        assert done.stdout.splitlines()[-1] == ""

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_interrupt_exits_130(self, folder, tmp_path):
        policy = tmp_path / "slow.py"
        policy.write_text("import time\ndef slow(rows):\n    print('ready', flush=True)\n    time.sleep(60)\n")
        command = [sys.executable, "-m", "rec_gym.cli", "evaluate", BEIR, "--policy", f"{policy}:slow"]
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background ignores the signal, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 130
        assert "Traceback" not in errors


class TestListAndInfo:
    def test_list_names_every_id(self):
        result = run("list")
        assert result.exit_code == 0
        for task_id, card in cards().items():
            line = next(line for line in result.output.splitlines() if f" {task_id} " in line)
            assert ("--data-dir" in line) == (needs_folder(card) and "needs" not in card.content)

    @pytest.mark.parametrize("task_id", sorted(name for name, card in cards().items() if needs_folder(card)))
    def test_info_without_data_shows_the_card(self, task_id):
        result = run("info", task_id)
        assert result.exit_code == 0
        assert cards()[task_id].hash in result.output
        assert "licence:" in result.output
        assert "pass --data-dir" in result.output

    def test_info_with_data_counts_it(self, folder):
        output = run("info", BEIR, "--data-dir", folder).output
        assert "items:          5 (item_id, title, text)" in output
        assert "test 10" in output
        assert "query language: bag of words" in output
        assert "reward range:   0 to 1" in output

    def test_info_of_an_embedded_id(self, embedded_id):
        output = run("info", embedded_id).output
        assert "splits:         train" in output
        floor = "given-order" if "candidates:" in output else "raw"
        assert f"policies:       {floor}" in output

    def test_baselines_of_a_card_are_shown(self, folder, tmp_path):
        card = tmp_path / "mine.toml"
        card.write_text(
            f'title = "Mine"\nsummary = "s"\nloader = "rec_gym.datasets.beir:load"\nlicence = "CC0"\n'
            f'[options]\ndata_dir = "{folder}"\n[baselines]\nraw = {{ "ndcg@10" = 0.5 }}\n'
            '[[env]]\nid = "Mine-v0"\nrecommender = "bm25"\nreward = { measure = "mrr@10", unparsed = -1 }\n'
        )
        rec_gym.register_card(card)
        result = run("info", "Mine-v0")
        assert "baseline:       raw: ndcg@10 0.5" in result.output
        assert "reward:         mrr@10 (" in result.output
        assert run("list").exit_code == 0

    def test_version(self):
        assert run("--version").output == f"rec-gym {rec_gym.__version__}\n"


class TestEvaluate:
    def test_table_json_and_csv_agree(self, folder, tmp_path):
        result = run(
            "evaluate", BEIR, "--policy", "raw,append:oak", "--split", "test", "--measures", "mrr@5,ndcg@3",
            "--data-dir", folder, "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv", "--seed", 3,
            "--set", "turns=2", "--set", "recommender={name='bm25', k1=0.9}",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        saved = json.loads((tmp_path / "r.json").read_text())
        assert saved["split"] == "test"
        assert saved["overrides"]["turns"] == 2
        assert saved["overrides"]["recommender"] == {"name": "bm25", "k1": 0.9}
        assert [policy["policy"] for policy in saved["policies"]] == ["raw", "append:oak"]
        assert saved["policies"][0]["seed"] == 3
        mean = saved["policies"][1]["measures"]["mrr@5"]["mean"]
        assert f"{mean:.4f} [" in result.output
        with open(tmp_path / "r.csv", newline="") as file:
            rows = {(row["policy"], row["measure"]): row for row in csv.DictReader(file)}
        assert float(rows["append:oak", "mrr@5"]["mean"]) == mean
        assert {measure for _, measure in rows} == {"mrr@5", "ndcg@3", "ndcg@100"}

    def test_own_policy_from_a_file(self, folder, tmp_path):
        (tmp_path / "mine.py").write_text("def chairs(rows):\n    return ['chair'] * len(rows)\n")
        result = run(
            "evaluate", BEIR, "--policy", "raw", "--policy", f"{tmp_path}/mine.py:chairs", "--data-dir", folder
        )
        assert result.exit_code == 0, result.output
        assert "split val" in result.output  # test has to be asked for

    def test_own_recommender_from_a_file(self, folder, tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text(
            "from rec_gym.recommenders.trivial import RandomRecommender as Shuffled\n__all__ = ['Shuffled']\n"
        )
        monkeypatch.chdir(tmp_path)
        arguments = ["evaluate", BEIR, "--policy", "raw", "--data-dir", folder, "--set"]
        assert run(*arguments, "recommender=mine.py:Shuffled").exit_code == 0
        assert "did you mean 'Shuffled'" in fails(*arguments, "recommender=mine.py:Shufled")
        assert "not a recommender" in fails(*arguments, 'recommender={name="os:system", command="true"}')

    def test_what_the_loader_dropped_is_reported(self, folder, tmp_path):
        data = tmp_path / "data"
        shutil.copytree(folder, data)
        with open(data / "qrels" / "train.tsv", "a", encoding="utf-8") as file:
            file.write("\nq0\tnowhere\t1\nq1\tnowhere\t1\n")
        result = run("evaluate", BEIR, "--policy", "raw", "--data-dir", data, "--json", tmp_path / "r.json")
        assert result.exit_code == 0, result.output
        assert "the data's loader: judgements of items that are not in the catalogue, dropped: 2" in result.output
        saved = json.loads((tmp_path / "r.json").read_text())
        assert saved["notes"] == {"judgements of items that are not in the catalogue, dropped": 2}
        assert "the data's loader" not in run("evaluate", BEIR, "--policy", "raw", "--data-dir", folder).output

    def test_samples(self, folder):
        result = run("evaluate", BEIR, "--policy", "raw", "--samples", "2", "--data-dir", folder)
        assert "2 samples of each request" in result.output

    def test_baselines_on_real_data(self, real_data, tmp_path):
        for name, task_id, arguments, expected in [
            ("cranfield", BEIR, ["--split", "all", "--policy", "raw"], {"raw": (0.3845, 0.4984)}),
            (
                "amazon_office_2018",
                "RecR1-RecBole-BM25-v0",
                ["--split", "test", "--policy", "last-title,all-titles"],
                {"last-title": (0.0735, 0.0920)},
            ),
        ]:
            file = tmp_path / f"{name}.json"
            result = run("evaluate", task_id, *arguments, "--data-dir", real_data / name, "--json", file)
            assert result.exit_code == 0, result.output
            for policy in json.loads(file.read_text())["policies"]:
                means = [policy["measures"][measure]["mean"] for measure in ("ndcg@10", "ndcg@100")]
                if policy["policy"] in expected:
                    assert means == pytest.approx(expected[policy["policy"]], abs=0.0005)


class TestErrors:
    def test_unknown_names_list_the_right_ones(self, folder):
        assert f"did you mean '{BEIR}'" in fails("info", "RecR1-BIER-BM25-v0")
        assert "unknown id 'Nope-v0'; see `rec-gym list`" in fails("info", "Nope-v0")
        assert "choose from: raw" in fails("evaluate", BEIR, "--policy", "best", "--data-dir", folder)
        assert "unknown split 'dev'" in fails(
            "evaluate", BEIR, "--policy", "raw", "--split", "dev", "--data-dir", folder
        )
        assert "unknown measure" in fails("evaluate", BEIR, "--policy", "raw", "--measures", "x", "--data-dir", folder)
        assert "unknown keyword 'turn'; did you mean 'turns'" in fails(
            "evaluate", BEIR, "--policy", "raw", "--set", "turn=1", "--data-dir", folder
        )

    @pytest.mark.parametrize(
        "command",
        [
            ("evaluate", "--policy", "raw"),
            ("info",),
            ("play",),
            ("prepare",),
            ("export", "--output", "rows.jsonl"),
        ],
        ids=lambda command: command[0],
    )
    def test_a_missing_extra_is_one_line_with_the_remedy(self, folder, tmp_path, monkeypatch, command):
        names = ("torch", "sentence_transformers")
        for module in [name for name in sys.modules if name.partition(".")[0] in names]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setattr(sys, "meta_path", [Missing(*names), *sys.meta_path])
        monkeypatch.chdir(tmp_path)
        name, *options = command
        message = fails(name, "RecR1-BEIR-Dense-v0", *options, "--data-dir", folder)
        assert "pip install 'rec-gym[dense]'" in message
        remedy = 'recommender={name="dense",encoder="hashing"}'
        assert f"--set '{remedy}'" in message
        if name == "info":
            assert run(name, "RecR1-BEIR-Dense-v0", "--data-dir", folder, "--set", remedy).exit_code == 0

    def test_an_import_error_of_a_users_code_keeps_its_traceback(self, folder, tmp_path):
        (tmp_path / "mine.py").write_text("import surely_not_installed\n")
        result = run("evaluate", BEIR, "--policy", f"{tmp_path}/mine.py:policy", "--data-dir", folder)
        assert isinstance(result.exception, ModuleNotFoundError)

    def test_missing_data(self, tmp_path):
        assert "data_dir" in fails("evaluate", BEIR, "--policy", "raw")
        assert "corpus.jsonl" in fails("evaluate", BEIR, "--policy", "raw", "--data-dir", tmp_path)

    def test_policies_are_checked_before_any_runs(self, folder, tmp_path):
        (tmp_path / "mine.py").write_text("def policy(rows):\n    raise SystemExit('ran')\n")
        mine = f"{tmp_path}/mine.py:policy"
        assert "knows none" in fails("evaluate", BEIR, "--policy", f"{mine},oracle", "--data-dir", folder)
        assert "'raw' is named twice" in fails("evaluate", BEIR, "--policy", "raw,raw", "--data-dir", folder)
        assert "at least one policy" in fails("evaluate", BEIR, "--policy", ",", "--data-dir", folder)

    def test_a_recommender_that_fails_is_an_error(self, folder, monkeypatch):
        from rec_gym.recommenders.bm25 import BM25

        def broken(*arguments):
            raise OSError("the engine is down")

        monkeypatch.setattr(BM25, "rank_of", broken)
        assert "the engine is down" in fails("evaluate", BEIR, "--policy", "raw", "--data-dir", folder)

    def test_debug_shows_the_traceback(self):
        result = run("--debug", "info", "Nope-v0")
        assert isinstance(result.exception, ValueError)
        assert result.exit_code == 1

    def test_unforeseen_errors_keep_their_traceback(self, folder, tmp_path):
        (tmp_path / "mine.py").write_text("def policy(rows):\n    return 1 / 0\n")
        result = run("evaluate", BEIR, "--policy", f"{tmp_path}/mine.py:policy", "--data-dir", folder)
        assert isinstance(result.exception, ZeroDivisionError)


class TestPlay:
    def play(self, folder, *lines, **options):
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        text = "\n".join(lines) + "\n"
        result = run("play", BEIR, "--data-dir", folder, "--request", "q0", *arguments, input=text)
        assert result.exit_code == 0, result.output
        return result.output

    def test_ranking_reward_and_moves(self, folder):
        output = self.play(folder, "wool red", "red chair", "blue", "red chair", "chair oak")
        assert "a red seat" in output
        asked = output.split("Query: ")[1:]
        assert "*   2. red chair of oak  [gain 1]" in asked[0]
        assert "reward: 0.6309" in asked[0]
        assert "moved" not in asked[0]
        assert "up, 2 to 1         red chair of oak" in asked[1]
        assert "out, was 1         red chair of oak" in asked[2]
        assert "in, at 1           red chair of oak" in asked[3]
        assert "No relevant item moved." in asked[4]

    def test_commands(self, folder):
        output = self.play(folder, "", ":help", ":oracle", ":what", "red chair", ":next", "red chair", ":quit", "never")
        assert output.count("Type a query, or :next") == 3
        assert "No oracle query is known here." in output
        assert "There is no command :what." in output
        assert output.count("Request q") == 2
        assert "moved" not in output  # another request, another beginning
        assert "never" not in output

    def test_oracle_of_the_shop(self):
        result = run("play", "RecR1-CornerShop-BM25-v0", "--split", "test", "--top", "1", input=":oracle\n")
        assert result.exit_code == 0
        assert "No oracle" not in result.output

    def test_every_action_format(self, folder):
        assert "reward: 1.0000" in self.play(folder, "red chair", set="action=answer")

    def test_unknown_request(self, folder):
        assert "unknown request id: 'x'" in fails("play", BEIR, "--data-dir", folder, "--request", "x")
        assert "not in split 'train'" in fails("play", BEIR, "--data-dir", folder, "--request", "q39")


def test_demo_is_called(monkeypatch, tmp_path):
    called = []
    monkeypatch.setitem(sys.modules, "rec_gym.demo", types.SimpleNamespace(run=lambda **given: called.append(given)))
    assert run("demo", "--seed", 4, "--steps", 2, "--output", tmp_path).exit_code == 0
    assert called == [{"seed": 4, "steps": 2, "output": tmp_path}]


@pytest.mark.parametrize(
    ("text", "parts"),
    [("raw, rm3", ["raw", "rm3"]), (r"append:a\, b,raw", ["append:a, b", "raw"]), ("", []), ("raw,,", ["raw"])],
)
def test_lists(text, parts):
    assert split_list(text) == parts


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("turns=3", 3),
            ("exclude_history=false", False),
            ("recommender=bm25", "bm25"),
            ("reward=ndcg@10", "ndcg@10"),
            ('reward={measure="mrr@10", unparsed=-1}', {"measure": "mrr@10", "unparsed": -1}),
            ("measures=['a', 'b']", ["a", "b"]),
            ("x=a=b", "a=b"),
            ('x="1"', "1"),
        ],
    )
    def test_values(self, text, value):
        assert list(overrides_of(None, [text]).values()) == [value]

    def test_data_dir(self, tmp_path):
        assert overrides_of(tmp_path, None) == {"data_dir": str(tmp_path)}

    def test_errors(self):
        assert "KEY=VALUE, not 'turns'" in fails("info", BEIR, "--set", "turns")
        assert "is nested too deeply" in fails("info", BEIR, "--set", f"reward={'[' * 5000}")
        assert "is not a TOML value" in fails("info", BEIR, "--set", "reward={measure=}")
