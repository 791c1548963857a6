"""MovieLens on files of its releases, sound and broken."""

import pytest
from helpers.published_files import MOVIES, RATINGS, write_movielens

from rec_gym.datasets import movielens

SIZES = ("100k", "1m", "latest-small", "32m")


@pytest.mark.parametrize("unpacked", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_every_release_gives_the_same(tmp_path, size, unpacked):
    dataset = movielens.load(write_movielens(tmp_path, size, unpacked=unpacked), size=size)
    requests = {name: dataset.request(name) for name in dataset.column("id")}
    assert {name: (r.split, r.history, tuple(r.gains)) for name, r in requests.items() if r.user == "1"} == {
        "train-1": ("train", ("1", "2"), ("3",)),
        "val-1": ("val", ("1", "2", "3"), ("4",)),
        "test-1": ("test", ("1", "2", "3", "4"), ("5",)),
    }
    assert requests["train-1"].text == "Item 1: Café (1995)\nItem 2: Heat (1995)"
    catalog = dataset.catalog
    assert catalog.values("genres").tolist()[:3] == ["Comedy Drama", "Action", ""]
    assert catalog.values("year").tolist()[:2] == [1995, 1995]
    assert catalog.values("popularity").tolist() == [2, 2, 2, 0, 0, 0, 0, 0]
    assert dataset.notes == {"users with fewer than 4 interactions, left out": 1}


def test_ties_stay_in_the_files_order(tmp_path):
    ratings = [(1, movie, 4, 7) for movie in (3, 1, 4, 2)]
    dataset = movielens.load(write_movielens(tmp_path, "1m", ratings=ratings), size="1m")
    request = dataset.request("test-1")
    assert (request.history, tuple(request.gains)) == (("3", "1", "4"), ("2",))


def test_low_ratings_and_unknown_films_are_counted(tmp_path):
    ratings = [*RATINGS, (1, 99, 4, 500), (2, 8, 1, 500), (4, 1, 3, 1), (4, 99, 3, 2), (4, 2, 3, 3), (4, 3, 3, 4)]
    dataset = movielens.load(write_movielens(tmp_path, "100k", ratings=ratings), min_rating=3)
    assert dataset.notes == {
        "ratings below 3, left out": 2,
        "requests whose target is not in the catalogue, dropped": 2,
        "items of histories that are not in the catalogue, dropped": 2,
    }
    assert "test-1" not in dataset.column("id")


@pytest.mark.parametrize(
    ("size", "written", "message"),
    [
        ("100k", {"movies": [*MOVIES, MOVIES[0]]}, r"u\.item: item ids must be unique; repeated: '1'"),
        ("100k", {"movies": "1|Film|1995\n"}, r"u\.item, line 1: 3 cells separated by '\|', expected 24"),
        ("100k", {"movies": "1|Film||||" + "2|" * 18 + "0\n"}, "line 1: the genres must be 0 or 1"),
        ("100k", {"movies": ""}, "the catalogue is empty"),
        ("1m", {"movies": "1::Film\n"}, r"movies\.dat, line 1: 2 cells separated by '::', expected 3"),
        ("1m", {"ratings": "1::1::5::978300760\n1::2::5"}, "line 2: 3 cells separated by '::', expected 4.* truncated"),
        ("1m", {"ratings": "1,1,5,978300760\n"}, "belong to another release"),
        ("1m", {"ratings": "1::1::good::978300760\n"}, "line 1: the rating must be a number, not 'good'"),
        ("1m", {"ratings": ""}, "no request"),
        ("1m", {"ratings": RATINGS[:3]}, "no request; .*fewer than 4 interactions, left out: 1"),
        ("32m", {"ratings": "userId,movieId,rating\n"}, r"ratings\.csv has no column 'timestamp'"),
        ("32m", {"ratings": "userId,movieId,rating,timestamp\n1,1,5,noon\n"}, "line 2: the time must be a number"),
        ("32m", {"movies": 'movieId,title,genres\n1,"Film'}, "a quotation mark is not closed at the end; .* truncated"),
        ("latest-small", {"movies": "movieId,title,genres\n,Film,Drama\n"}, "item needs a non-empty id"),
    ],
)
def test_movielens_refuses(tmp_path, size, written, message):
    with pytest.raises(ValueError, match=message):
        movielens.load(write_movielens(tmp_path, size, **written), size=size)


def test_new_releases_are_utf_8(tmp_path):
    folder = write_movielens(tmp_path, "32m")
    (tmp_path / "ml-32m" / "movies.csv").write_bytes("movieId,title,genres\n1,Café,Drama\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"movies\.csv, line 2: not utf-8"):
        movielens.load(folder, size="32m")


def test_sizes_and_files_are_checked(tmp_path):
    with pytest.raises(ValueError, match="unknown size '25m'; .*choose from: 100k, 1m, latest-small, 32m"):
        movielens.load(str(tmp_path), size="25m")
    for size, missing in zip(SIZES, ("u.item", "movies.dat", "movies.csv", "movies.csv"), strict=True):
        with pytest.raises(FileNotFoundError, match=rf"{missing} is missing\. .* should hold the files of one release"):
            movielens.load(str(tmp_path), size=size)
        (archive,) = movielens.sources(size=size)
        assert archive.url.endswith(f"/ml-{size}.zip")
        assert archive.unpack
