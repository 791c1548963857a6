"""Amazon Reviews 2023: purchase histories of one category, in the publisher's layouts and in Rec-R1's."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_gym.catalog import ID_COLUMN
from rec_gym.columns import IdIndex
from rec_gym.dataset import TRAIN, Dataset
from rec_gym.datasets.reading.files import (
    TableBuilder,
    first_of_each,
    joined_field,
    need_file,
    number_of,
    one_of,
    read_csv,
    read_jsonl,
    text_field,
)
from rec_gym.datasets.reading.histories import History, Interactions, history_dataset, item_index
from rec_gym.datasets.reading.judgements import split_name
from rec_gym.fetching.sources import HubFile

REPOSITORY = "McAuley-Lab/Amazon-Reviews-2023"
HOLDS = (
    "meta_<domain>.jsonl (there or in raw/meta_categories) and either <setting>/<domain>.{train,valid,test}.csv as "
    "Rec-R1 has them, or the publisher's benchmark/<core>/<last_out or timestamp>[_w_his]/<domain>.{train,valid,test}.csv"
)
GET_DATA = f"The data set {REPOSITORY} on the Hugging Face hub has the files; a folder should hold {HOLDS}."

CATEGORIES = (
    "All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products",
    "Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry",
    "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food", "Handmade_Products",
    "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store",
    "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden",
    "Pet_Supplies", "Software", "Sports_and_Outdoors", "Subscription_Boxes", "Tools_and_Home_Improvement",
    "Toys_and_Games", "Unknown", "Video_Games",
)  # fmt: skip
SETTINGS = ("transductive", "inductive", "last_out", "timestamp")
CORES = ("0core", "5core")

_PAPER_SETTINGS = SETTINGS[:2]
_PARTS = ("train", "valid", "test")
_LAYOUT = ("user_id", "parent_asin", "rating", "timestamp")
_TEXTS = ("store", "features", "description", "categories")


def load(
    data_dir: str,
    domain: str = "All_Beauty",
    setting: str = "transductive",
    core: str = "0core",
    limit: int = 1000,
) -> Dataset:
    """Loads one category: a request is a history, its only relevant item is the next one.

    The settings:

    * `"last_out"` and `"timestamp"` are the publisher's splits: each user's last two items, or what was bought after two
      points in time. Files with histories (`_w_his`) are read if present; otherwise histories are assembled from the
      interactions of all three files.
    * `"transductive"` and `"inductive"` are Rec-R1's: rows of which every item, or no item, occurs in training. If the
      folder has its files (`transductive/<domain>.test.csv`), those are read; otherwise rows are chosen from the
      publisher's timestamp split, in file order, at most `limit`.

    A request's id is `<file>-<line>`, lines counted from 1 after the header (`test-17`); files without a header line are
    read as well. The catalogue is the whole category: title, store, features, description, categories, price,
    average_rating, rating_number, and the popularity in train; of items with the same id, the first counts. A request
    whose target is not in the catalogue is left out.

    Args:
        data_dir: the folder.
        domain: the category, as the files name it.
        setting: which requests, and in which splits: `"transductive"`, `"inductive"`, `"last_out"` or `"timestamp"`.
        core: `"0core"` for all interactions, `"5core"` for users and items with at least five.
        limit: requests that Rec-R1's settings take from each of valid and test, where they are chosen here.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is unknown, or a file does not hold what it should; the message names the line.
    """
    one_of("setting", setting, SETTINGS)
    one_of("core", core, CORES)
    folder, notes = Path(data_dir), Counter[str]()
    meta = _meta_file(folder, domain)
    items = _read_items(meta, notes)
    index = item_index(items, str(meta))
    own = folder / setting
    if (own / f"{domain}.test.csv").is_file():
        parts = {part: own / f"{domain}.{part}.csv" for part in _PARTS if (own / f"{domain}.{part}.csv").is_file()}
        rows = _rows(parts, index)
    else:
        split_by = "timestamp" if setting in _PAPER_SETTINGS else setting
        parts = _benchmark_files(folder, core, split_by, domain)
        rows = _rows(parts, index) if _has_histories(parts) else _rows_from_interactions(parts, index)
        if setting in _PAPER_SETTINGS:
            rows = _chosen(list(rows), setting, limit, len(index), notes)
    return history_dataset(items, str(meta), rows, str(folder), notes)


def sources(
    domain: str = "All_Beauty", setting: str = "transductive", core: str = "0core", **others: object
) -> Sequence[HubFile]:
    """The publisher's files that `load` needs for a setting.

    Raises:
        ValueError: unknown category, setting or core.
    """
    one_of("domain", domain, CATEGORIES)
    one_of("setting", setting, SETTINGS)
    one_of("core", core, CORES)
    split_by = "timestamp" if setting in _PAPER_SETTINGS else setting
    parts = [f"benchmark/{core}/{split_by}_w_his/{domain}.{part}.csv" for part in _PARTS]
    return [HubFile(REPOSITORY, path) for path in (f"raw/meta_categories/meta_{domain}.jsonl", *parts)]


def _meta_file(folder: Path, domain: str) -> Path:
    for name in (f"meta_{domain}.jsonl", f"raw/meta_categories/meta_{domain}.jsonl"):
        if (folder / name).is_file():
            return folder / name
    return need_file(folder, f"meta_{domain}.jsonl", HOLDS)


def _benchmark_files(folder: Path, core: str, split_by: str, domain: str) -> dict[str, Path]:
    """The three files of a split, preferably those with histories."""
    for name in (f"{split_by}_w_his", split_by):
        place = folder / "benchmark" / core / name
        if (place / f"{domain}.test.csv").is_file():
            break
    else:
        place = folder / "benchmark" / core / f"{split_by}_w_his"
    return {part: need_file(folder, f"{place.relative_to(folder)}/{domain}.{part}.csv", HOLDS) for part in _PARTS}


def _has_histories(parts: dict[str, Path]) -> bool:
    return parts["test"].parent.name.endswith("_w_his")


def _read_items(path: Path, notes: Counter[str]) -> pa.Table:
    numbers = ("price", "average_rating", "rating_number")
    kinds: dict[str, type] = dict.fromkeys((ID_COLUMN, "title", *_TEXTS), str)
    table = TableBuilder(kinds | dict.fromkeys(numbers, float))
    for number, record in read_jsonl(path, notes):
        where = f"{path}, line {number}"
        title = text_field(record, "title", where)
        notes["items without a title"] += not title.strip()
        texts = [joined_field(record, name, where) for name in _TEXTS]
        values = [_number(record.get(name), name, notes) for name in numbers]
        table.add(text_field(record, "parent_asin", where), title, *texts, *values)
    return first_of_each(table.table(), ID_COLUMN, notes)


def _number(value: object, name: str, notes: Counter[str]) -> float | None:
    """A number, even if it is written as text; the publisher writes prices such as "12.99", "None" and "from 5"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = "" if value is None else str(value).strip()
    if text in ("", "None"):
        return None
    try:
        return number_of(text.removeprefix("$").replace(",", ""), "", name)
    except ValueError:
        notes[f"values of {name!r} that are not numbers, left out"] += 1
        return None


def _rows(parts: dict[str, Path], index: IdIndex) -> Iterator[History]:
    """The requests of files whose rows hold their history."""
    layout = (*_LAYOUT, "history")
    for part, path in parts.items():
        lines = read_csv(path, ("user_id", "parent_asin", "history"), layout=layout)
        for place, (_, (user, target, history)) in enumerate(lines, 1):
            positions = index.find([*history.split(), target])
            yield History(f"{part}-{place}", split_name(part), user, positions[:-1], int(positions[-1]))


def _rows_from_interactions(parts: dict[str, Path], index: IdIndex) -> Iterator[History]:
    """The requests of files without histories: each interaction, after all that the user did before."""
    interactions = Interactions(index)
    part_of, place_of = array("b"), array("i")
    for code, path in enumerate(parts.values()):
        lines = read_csv(path, ("user_id", "parent_asin", "timestamp"), layout=_LAYOUT)
        for place, (number, (user, item, when)) in enumerate(lines, 1):
            interactions.add(user, item, number_of(when, f"{path}, line {number}", "the timestamp"))
            part_of.append(code)
            place_of.append(place)
    users, items, bounds, order = interactions.in_order_of_time()
    names = list(parts)
    for code, user in enumerate(users):
        for here in range(bounds[code], bounds[code + 1]):
            part = names[part_of[order[here]]]
            name = f"{part}-{place_of[order[here]]}"
            yield History(name, split_name(part), user, items[bounds[code] : here], int(items[here]))


def _chosen(rows: list[History], setting: str, limit: int, size: int, notes: Counter[str]) -> Iterator[History]:
    """Rec-R1's choice: all of train, and of the rest the rows whose items all occur in train, or none of them."""
    seen = np.zeros(size + 1, bool)  # the last entry is for items that are not in the catalogue
    for row in rows:
        if row.split == TRAIN:
            seen[row.history] = seen[row.target] = True
    seen[-1] = False
    taken = Counter[str]()
    for row in rows:
        items = seen[[*row.history.tolist(), row.target]]
        if row.split == TRAIN or not len(row.history):  # without a history: counted later, as in every setting
            yield row
        elif not items.all() if setting == "transductive" else items.any():
            notes[f"requests that are not {setting}, left out"] += 1
        elif taken[row.split] == limit:
            notes[f"{setting} requests after the first {limit} of a split, left out"] += 1
        else:
            taken[row.split] += 1
            yield row
