"""Backtracing on files of its three layouts, sound and broken, and on the published ones."""

import json

import numpy as np
import pytest
from helpers.bm25_oracle import Oracle
from helpers.published_files import BACKTRACING_DOCUMENTS, BACKTRACING_FOLDERS, write_backtracing

from rec_gym.datasets import backtracing
from rec_gym.testing import check_loader

DOMAINS = tuple(BACKTRACING_FOLDERS)


def documents_of(dataset):
    return {split: set(dataset.column("domain", dataset.rows(split))) for split in dataset.splits}


# Layouts


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_sentence_is_an_item_and_a_query_a_request_within_its_document(tmp_path, domain):
    dataset = backtracing.load(write_backtracing(tmp_path, domain), domain)
    assert dataset.catalog.table.column_names == ["item_id", "title", "document", "place"]
    assert dataset.catalog.ids(range(5)) == ["d-0-0", "d-0-1", "d-0-2", "d-0-3", "d-1-0"]
    assert dataset.catalog.values("document")[:5].tolist() == ["d-0"] * 4 + ["d-1"]
    assert dataset.catalog.values("place")[:5].tolist() == [0, 1, 2, 3, 0]
    assert dataset.catalog.values("place").dtype == np.int64
    request = dataset.request("d-1-1")
    assert (request.text, request.domain) == ("Who rang it twice?", "d-1")
    assert request.gains == {"d-1-1": 1.0}
    assert request.filters == (("document", "==", "d-1"),)
    assert request.oracle == "The bell rang twice."
    assert dataset.notes == {}
    assert len(dataset) == 12


@pytest.mark.parametrize("domain", ["lecture", "conversation"])
def test_a_query_may_have_several_targets_which_count_once(tmp_path, domain):
    documents = BACKTRACING_DOCUMENTS | {"d-1": (list("abcd"), [("x", [3, 0, 3])])}
    dataset = backtracing.load(write_backtracing(tmp_path, domain, documents), domain)
    assert dataset.request("d-1-0").gains == {"d-1-0": 1.0, "d-1-3": 1.0}
    assert dataset.notes == {"repeated targets of a query, counted once": 1}


def test_the_line_that_asks_stays_an_item_of_its_conversation(tmp_path):
    name = "test.test.Ses05F_1"  # as the authors name some
    documents = BACKTRACING_DOCUMENTS | {name: (["You have misdialed.", "I'm sorry."], [("I'm sorry.", [0])])}
    dataset = backtracing.load(write_backtracing(tmp_path, "conversation", documents), "conversation")
    assert dataset.catalog.titles(dataset.catalog.positions([f"{name}-1"])) == ["I'm sorry."]
    assert dataset.request(f"{name}-0").gains == {f"{name}-0": 1.0}
    assert dataset.request(f"{name}-0").filters == (("document", "==", name),)


def test_repeated_sentences_are_items_of_their_own(tmp_path):
    documents = BACKTRACING_DOCUMENTS | {"d-1": (["So.", "Yes.", "So."], [("x", [2])])}
    dataset = backtracing.load(write_backtracing(tmp_path, documents=documents))
    assert dataset.request("d-1-0").gains == {"d-1-2": 1.0}
    assert dataset.catalog.titles(dataset.catalog.positions(["d-1-0", "d-1-2"])) == ["So.", "So."]


def test_the_folder_may_be_the_unpacked_archive(tmp_path):
    inside = write_backtracing(tmp_path, root="backtracing-0abc/")
    unpacked = backtracing.load(inside)
    assert unpacked.catalog.content_hash == backtracing.load(f"{inside}/backtracing-0abc").catalog.content_hash
    write_backtracing(tmp_path, root="backtracing-main/")
    with pytest.raises(
        ValueError, match="several copies of the repository: 'backtracing-0abc', 'backtracing-main'; name"
    ):
        backtracing.load(inside)


def test_what_is_dropped_is_counted(tmp_path):
    documents = BACKTRACING_DOCUMENTS | {
        "d-1": (["a", "b"], [("x", []), (" ", [0]), ("kept", [1])]),
        "d-7": (["a", "b"], [("x", [])]),
        "d-8": (["\ud800 a", ""], [("x", [0])]),
    }
    folder = write_backtracing(tmp_path, documents=documents)
    (tmp_path / "data" / BACKTRACING_FOLDERS["lecture"][1] / "d-9.json").write_text('[{"text": "a"}]')
    dataset = backtracing.load(folder)
    assert dataset.notes == {
        "queries without a target, dropped": 2,
        "queries without a text, dropped": 1,
        "documents without a file of queries, left out": 1,
        "texts with half a surrogate pair, repaired": 1,
        "sentences without a text, kept": 1,
    }
    assert dataset.request("d-1-2").text == "kept"
    assert "d-7" not in set(dataset.column("domain"))
    assert dataset.catalog.titles(dataset.catalog.positions(["d-8-0"])) == ["\ufffd a"]


def test_the_loader_keeps_its_promises(tmp_path):
    check_loader(backtracing.load, data_dir=write_backtracing(tmp_path))


# Folds


def test_no_document_is_in_two_splits_and_each_is_tested_once(tmp_path):
    folder = write_backtracing(tmp_path)
    tested = []
    for fold in range(5):
        splits = documents_of(backtracing.load(folder, fold=fold))
        assert sorted(name for names in splits.values() for name in names) == sorted(BACKTRACING_DOCUMENTS)
        assert set(splits) == {"train", "val", "test"}
        tested += splits["test"]
        following = documents_of(backtracing.load(folder, fold=(fold + 1) % 5))
        assert splits["val"] == following["test"]
    assert sorted(tested) == sorted(BACKTRACING_DOCUMENTS)


def test_folds_have_about_as_many_queries_and_do_not_depend_on_texts(tmp_path):
    documents = {f"d-{k}": ([f"sentence {k}"], [("x", [0])] * (1 + k * k % 7)) for k in range(23)}
    folder = write_backtracing(tmp_path / "a", documents=documents)
    folds = [backtracing.load(folder, folds=4, fold=fold) for fold in range(4)]
    sizes = [len(dataset.rows("test")) for dataset in folds]
    assert sum(sizes) == sum(len(asked) for _, asked in documents.values())
    assert max(sizes) - min(sizes) <= max(len(asked) for _, asked in documents.values())
    other_texts = {name: (["other"], [("y", [0])] * len(asked)) for name, (_, asked) in documents.items()}
    again = backtracing.load(write_backtracing(tmp_path / "b", documents=other_texts), folds=4, fold=2)
    assert documents_of(again) == documents_of(folds[2])
    assert documents_of(again)["test"] != {f"d-{k}" for k in range(2, 23, 4)}  # drawn, not in the order of the names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "lectures"}, "unknown domain 'lectures'; did you mean 'lecture'"),
        ({"folds": 2}, "folds must be at least 3"),
        ({"folds": 5.0}, "folds must be a whole number, not 5.0"),
        ({"folds": "5"}, "folds must be a whole number, not '5'"),
        ({"fold": True}, "fold must be a whole number, not True"),
        ({"fold": 5}, "fold must be between 0 and 4, as there are 5 folds, not 5"),
        ({"fold": -1}, "fold must be between 0 and 4"),
        ({"folds": 7}, "has queries on 6 documents of the domain lecture, too few for 7 folds"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    folder = write_backtracing(tmp_path)
    with pytest.raises(ValueError, match=message):
        backtracing.load(folder, **options)


# Damage

ONE = '{"text": "x", "annotatedSourceSentencesIndices": [0]}'


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"queries": ""},
            r"query/annotated/d-0\.json, line 1, entry 1: expected '\['.*not ''; the file may be truncated",
        ),
        ({"queries": '{"text": "x"}'}, r"d-0\.json, line 1, entry 1: expected '\[' before it, not '\{'"),
        ({"queries": f"[\n{ONE},\n{ONE[:-3]}"}, r"d-0\.json, line 3, entry 2: not JSON .*truncated"),
        ({"queries": f"[\n\n{ONE}\n"}, r"d-0\.json, line 4, entry 2: expected ',' before it, not ''; .*truncated"),
        ({"queries": f"[{ONE},"}, r"d-0\.json, line 1, entry 2: not JSON"),
        ({"queries": f"[{ONE},]"}, r"d-0\.json, line 1, entry 2: not JSON"),
        ({"queries": f"[{ONE}] {{"}, r"d-0\.json: '\{' after the end of the list; the file may be damaged"),
        ({"queries": "[] []"}, r"d-0\.json: '\[\]' after the end of the list"),
        ({"queries": "[\n1]"}, r"d-0\.json, line 2, entry 1: expected a JSON object, found int"),
        ({"queries": f"[{ONE},\n{{}}]"}, r"line 2, entry 2: no field 'text'"),
        ({"queries": '[{"text": 1.5}]'}, "entry 1: field 'text' must be text, not float"),
        ({"queries": '[{"text": "x"}]'}, "entry 1: no field 'annotatedSourceSentencesIndices'; its fields: text"),
        (
            {"queries": ONE.replace("[0]", "[4]").join("[]")},
            r"names sentence 4, but the document has sentences 0 to 3; .*trunc",
        ),
        ({"queries": ONE.replace("[0]", "[-1]").join("[]")}, "names sentence -1"),
        ({"queries": ONE.replace("[0]", '["0"]').join("[]")}, "must hold whole numbers, not '0'"),
        ({"queries": ONE.replace("[0]", "[true]").join("[]")}, "must hold whole numbers, not True"),
        ({"queries": ONE.replace("[0]", "[0.0]").join("[]")}, "must hold whole numbers, not 0.0"),
        ({"queries": ONE.replace("[0]", "null").join("[]")}, "must hold whole numbers, not None"),
        ({"queries": b"[\n\n{\xe9"}, r"d-0\.json, line 3: not UTF-8 \(byte 0xe9\)"),
        ({"sources": "[]"}, r"sources/annotated/d-0\.json holds no sentence"),
        ({"sources": '[{"text": "a"}, 7]'}, r"sources/annotated/d-0\.json, line 1, entry 2: expected a JSON object"),
        ({"sources": '[{"text": "a"}]'}, r"query/annotated/d-0\.json, line 1, entry 2: .* names sentence 1, but"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, replaced, message):
    with pytest.raises(ValueError, match=message):
        backtracing.load(write_backtracing(tmp_path, **replaced))


def test_lines_are_those_of_the_file(tmp_path):
    rows = [{"text": "x\ny", "annotatedSourceSentencesIndices": [0]}] * 3 + [{"text": "x"}]
    text = "\ufeff" + json.dumps(rows, indent=4)
    with pytest.raises(ValueError, match=r"d-0\.json, line (\d+), entry 4: no field") as caught:
        backtracing.load(write_backtracing(tmp_path, queries=text))
    line = int(str(caught.value).partition(", line ")[2].partition(",")[0])
    assert text.splitlines()[line - 1 : line + 1] == ["    {", '        "text": "x"']


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_missing_file_is_named_with_what_the_folder_should_hold(tmp_path, domain):
    queries, sources = BACKTRACING_FOLDERS[domain]
    with pytest.raises(
        FileNotFoundError, match=rf"data/{queries}/ID\.json is missing\. .* should hold .*{sources}/ID\.json"
    ):
        backtracing.load(str(tmp_path), domain)
    folder = write_backtracing(tmp_path, domain)
    (tmp_path / "data" / sources / "d-3.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"data/{sources}/d-3\.json is missing"):
        backtracing.load(folder, domain)


def test_one_archive_serves_every_domain():
    assert backtracing.sources() == backtracing.sources(domain="news", folds=3)
    with pytest.raises(ValueError, match="unknown domain 'new'; did you mean 'news'"):
        backtracing.sources(domain="new")


# The published files


@pytest.mark.parametrize(
    ("domain", "sizes", "notes", "figures"),
    [
        (
            "lecture",
            (197, 11_042, 21),
            {"repeated targets of a query, counted once": 8},
            (0.152, 120.9, 0.259, 53.0),
        ),
        ("news", (1382, 2125, 112), {}, (0.630, 2.59, 0.832, 0.544)),
    ],
)
def test_the_published_files_give_the_known_figures(real_data, domain, sizes, notes, figures):
    """BM25 of each document's own statistics, in float64, every sentence ranked and ties by place."""
    dataset = backtracing.load(str(real_data / "backtracing"), domain)
    documents, places = dataset.catalog.values("document"), dataset.catalog.values("place")
    assert (len(dataset), len(dataset.catalog), len(set(documents))) == sizes
    assert dataset.notes == notes
    titles = np.array(dataset.catalog.titles(range(len(dataset.catalog))), object)
    oracles = {name: Oracle(titles[documents == name].tolist()) for name in dict.fromkeys(documents)}
    rows = []
    for row, (text, name) in enumerate(zip(dataset.column("text"), dataset.column("domain"), strict=True)):
        assert set(documents[dataset.relevant[row]]) == {name}
        targets = set(places[dataset.relevant[row]].tolist())
        order = np.argsort(-oracles[name].scores(text), kind="stable")
        tops = [set(order[:k].tolist()) for k in (1, 3)]
        rows.append(
            [value for top in tops for value in (bool(targets & top), min(abs(i - t) for i in top for t in targets))]
        )
    means = np.array(rows, float).mean(axis=0)
    for value, figure, digits in zip(
        means, figures, (3, 1, 3, 1) if domain == "lecture" else (3, 2, 3, 3), strict=True
    ):
        assert round(value, digits) == figure
