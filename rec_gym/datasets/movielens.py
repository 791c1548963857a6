"""MovieLens: film ratings; the task is to find the film that a user rates next, from titles and genres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from rec_gym.catalog import ID_COLUMN
from rec_gym.columns import IdIndex
from rec_gym.dataset import Dataset
from rec_gym.datasets.reading.files import TableBuilder, need_file, number_of, one_of, read_csv, read_lines
from rec_gym.datasets.reading.histories import Interactions, history_dataset, item_index
from rec_gym.fetching.sources import WebFile

HOLDS = (
    "the files of one release, directly or in ml-<size>: u.data and u.item (100k), ratings.dat and movies.dat (1m), "
    "ratings.csv and movies.csv (latest-small, 32m)"
)
GET_DATA = f"https://grouplens.org/datasets/movielens has the archives; a folder should hold {HOLDS}."

_URL = "https://files.grouplens.org/datasets/movielens/ml-{size}.zip"
_NO_GENRE = "(no genres listed)"
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_U_ITEM_CELLS = 5 + len(_GENRES)  # number, title, two dates, an address, then a 0 or 1 for each genre

Cells = Iterator[tuple[int, list[str]]]


class _Release(NamedTuple):
    """The file format of a release.

    Attributes:
        ratings: the file of the ratings.
        movies: the file of the films.
        read_ratings: yields its lines as user, film, rating, time.
        read_movies: yields its lines as number, title, genres.
        checksum: of the archive, as the publisher states it; empty if the archive changes.
    """

    ratings: str
    movies: str
    read_ratings: Callable[[Path], Cells]
    read_movies: Callable[[Path], Cells]
    checksum: str = ""


def load(data_dir: str, size: str = "100k", min_rating: float = 0.0) -> Dataset:
    """Loads a release: a request is the films that a user rated, its only relevant item is the one rated next.

    Each user's ratings are put in order of time (ties in the file's order): the last is the target in test, the one
    before in val, the one before that in train; ids are `<split>-<user>`. The catalogue has the title, the genres
    (joined by spaces), the year if the title states one, and the popularity in train.

    Args:
        data_dir: the folder with the files, or the one into which the archive was unpacked.
        size: `"100k"`, `"1m"`, `"latest-small"` or `"32m"`.
        min_rating: ratings below it do not count as interactions.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is unknown, or a file does not hold what it should; the message names the line.
    """
    one_of("size", size, list(_RELEASES))
    release, notes = _RELEASES[size], Counter[str]()
    folder = Path(data_dir)
    unpacked = folder / f"ml-{size}"
    place = folder if (folder / release.ratings).is_file() or not unpacked.is_dir() else unpacked
    movies = need_file(place, release.movies, HOLDS)
    items = _read_items(movies, release, notes)
    ratings = need_file(place, release.ratings, HOLDS)
    interactions = _read_ratings(ratings, release, item_index(items, str(movies)), min_rating, notes)
    return history_dataset(items, str(movies), interactions.leave_one_out(notes), str(place), notes)


def sources(size: str = "100k", **others: object) -> Sequence[WebFile]:
    """The publisher's archive of a release.

    Raises:
        ValueError: unknown release.
    """
    one_of("size", size, list(_RELEASES))
    return [WebFile(_URL.format(size=size), ".", checksum=_RELEASES[size].checksum, unpack=True)]


def _read_items(path: Path, release: _Release, notes: Counter[str]) -> pa.Table:
    table = TableBuilder({ID_COLUMN: str, "title": str, "genres": str, "year": float})
    for _, (number, title, genres) in release.read_movies(path):
        notes["items without a title"] += not title.strip()
        names = [] if genres == _NO_GENRE else genres.split("|")
        table.add(number, title, " ".join(names), _year(title))
    return table.table()


def _year(title: str) -> float | None:
    """The year in parentheses at the end of a title."""
    year = title.rstrip()[-6:]
    return float(year[1:5]) if year[:1] == "(" and year[-1:] == ")" and year[1:5].isdecimal() else None


def _read_ratings(
    path: Path, release: _Release, index: IdIndex, min_rating: float, notes: Counter[str]
) -> Interactions:
    interactions = Interactions(index)
    for number, (user, item, rating, when) in release.read_ratings(path):
        where = f"{path}, line {number}"
        if number_of(rating, where, "the rating") < min_rating:
            notes[f"ratings below {min_rating:g}, left out"] += 1
        else:
            interactions.add(user, item, number_of(when, where, "the time"))
    return interactions


def _cells(path: Path, separator: str, count: int) -> Cells:
    """The cells of each line of a file without header line, in latin-1 as the old releases are."""
    for number, line in read_lines(path, "latin-1"):
        cells = line.split(separator)
        if len(cells) != count:
            raise ValueError(
                f"{path}, line {number}: {len(cells)} cells separated by {separator!r}, expected {count}; the file may "
                "be truncated, or belong to another release (size=...)"
            )
        yield number, cells


def _u_item(path: Path) -> Cells:
    for number, cells in _cells(path, "|", _U_ITEM_CELLS):
        flags = cells[5:]
        if set(flags) - {"0", "1"}:
            raise ValueError(f"{path}, line {number}: the genres must be 0 or 1, not {'|'.join(flags)}")
        names = [name for name, flag in zip(_GENRES, flags, strict=True) if flag == "1" and name != _GENRES[0]]
        yield number, [cells[0], cells[1], "|".join(names) or _NO_GENRE]


def _csv_ratings(path: Path) -> Cells:
    return read_csv(path, ("userId", "movieId", "rating", "timestamp"))


def _csv_movies(path: Path) -> Cells:
    return read_csv(path, ("movieId", "title", "genres"))


_RELEASES = {
    "100k": _Release(
        "u.data", "u.item", lambda path: _cells(path, "\t", 4), _u_item, "md5:0e33842e24a9c977be4e0107933c0723"
    ),
    "1m": _Release(
        "ratings.dat",
        "movies.dat",
        lambda path: _cells(path, "::", 4),
        lambda path: _cells(path, "::", 3),
        "md5:c4d9eecfca2ab87c1945afe126590906",
    ),
    "latest-small": _Release("ratings.csv", "movies.csv", _csv_ratings, _csv_movies),
    "32m": _Release("ratings.csv", "movies.csv", _csv_ratings, _csv_movies),
}
