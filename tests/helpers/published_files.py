"""Small data sets in the layouts of their publishers, for tests: each function writes the files of one into a folder.

A keyword replaces a file's rows (or its whole text, where a text is given).
"""

import csv
import io
import json
from pathlib import Path

REVIEW_ITEMS = [
    {
        "main_category": "All Beauty",
        "title": f"title {c}",
        "average_rating": 4.5,
        "rating_number": 3,
        "features": ["soft", "mild"],
        "description": ["good", "new"],
        "price": price,
        "store": "Shop",
        "categories": [],
        "details": "{}",
        "parent_asin": c,
    }
    for c, price in zip("abcdefgh", ["12.99", "None", None, 5, "from 7.00", "$1,000.50", "", 3.5], strict=True)
]
REVIEWS_HEADER = ["user_id", "parent_asin", "rating", "timestamp"]
C4_HEADER = ["qid", "query", "item_id", "user_id", "ori_rating", "ori_review"]
C4_ITEMS = [
    {"item_id": c, "category": category, "metadata": f"A thing {c}."}
    for c, category in zip("abcdef", ["Games", "Baby", "Office", "Sports", "Home", "Care"], strict=True)
]
C4_QUERIES = [[k, f"I need {c}, please", c, "U", 5, f'a "fine"\n\nthing {c}'] for k, c in enumerate("abcdef")]
ML_GENRES = 19


def as_csv(header, rows, delimiter=","):
    """CSV text as pandas writes it; `header` None for none."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(([header] if header else []) + list(rows))
    return text.getvalue()


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder, files, encoding="utf-8"):
    """Writes `{path: text}`; None leaves a file out."""
    for path, text in files.items():
        if text is not None:
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return str(folder)


def write_reviews(
    folder, domain="All_Beauty", place="benchmark/0core/timestamp_w_his", meta=None, header=True, **parts
):
    """Amazon Reviews 2023; rows of parts are (user, item, time) or (user, item, time, history)."""
    meta_path = f"raw/meta_categories/meta_{domain}.jsonl"
    items = REVIEW_ITEMS if meta is None else meta
    files = {meta_path: items if isinstance(items, str) else as_jsonl(items)}
    for part, rows in parts.items():
        if not isinstance(rows, str | None):
            width = len(rows[0]) if rows else 4
            names = REVIEWS_HEADER + ["history"] * (width == 4)
            rows = as_csv(names if header else None, [[r[0], r[1], 5.0, *r[2:]] for r in rows])
        files[f"{place}/{domain}.{part}.csv"] = rows
    return write(folder, files)


def write_c4(folder, queries=C4_QUERIES, items=C4_ITEMS):
    queries = queries if isinstance(queries, str) else as_csv(C4_HEADER, queries)
    items = items if isinstance(items, str) else as_jsonl(items)
    return write(folder, {"test.csv": queries, "sampled_item_metadata_1M.jsonl": items})


MOVIES = [(1, "Café (1995)", "Comedy|Drama"), (2, "Heat (1995)", "Action"), (3, "Plain", "(no genres listed)")]
MOVIES += [(k, f"Film {k} (20{k:02})", "Drama") for k in range(4, 9)]
RATINGS = [(u, m, 4, 100 + m) for u in (1, 2) for m in (1, 2, 3, 4, 5)] + [(3, 1, 2, 5)]


def write_movielens(folder, size, movies=MOVIES, ratings=RATINGS, unpacked=True):
    """The files of a release under `ml-<size>`, as the archive unpacks, or directly in `folder`."""
    place = f"ml-{size}/" if unpacked else ""
    if size in ("latest-small", "32m"):
        texts = {
            "movies.csv": movies if isinstance(movies, str) else as_csv(["movieId", "title", "genres"], movies),
            "ratings.csv": ratings
            if isinstance(ratings, str)
            else as_csv(["userId", "movieId", "rating", "timestamp"], ratings),
        }
        encoding = "utf-8"
    else:
        names = ("u.item", "u.data", "\t") if size == "100k" else ("movies.dat", "ratings.dat", "::")
        if not isinstance(movies, str):
            rows = [_u_item(*movie) if size == "100k" else "::".join(map(str, movie)) for movie in movies]
            movies = "".join(f"{row}\n" for row in rows)
        if not isinstance(ratings, str):
            ratings = "".join(names[2].join(map(str, row)) + "\n" for row in ratings)
        texts, encoding = {names[0]: movies, names[1]: ratings}, "latin-1"
    return write(folder, {place + name: text for name, text in texts.items()}, encoding)


def _u_item(number, title, genres):
    known = {"Action": 1, "Comedy": 5, "Drama": 8}
    flags = ["0"] * ML_GENRES
    for genre in genres.split("|"):
        flags[known.get(genre, 0)] = "1"
    return "|".join([str(number), title, "01-Jan-1995", "", "http://x", *flags])


WANDS_PRODUCTS = [
    [c, f"bed {c}", "Beds", "Furniture / Bedroom / Beds", f'a 12" bed {c}', "color:red|size:12", 3.0, 4.5, ""]
    for c in "abcd"
]
WANDS_PRODUCT_HEADER = ["product_id", "product_name", "product_class", "category hierarchy", "product_description"]
WANDS_PRODUCT_HEADER += ["product_features", "rating_count", "average_rating", "review_count"]
WANDS_QUERIES = [[k, f"query {k}", f"class {k % 20}"] for k in range(60)]
WANDS_LABELS = [[k, q, c, label] for k, (q, _, _) in enumerate(WANDS_QUERIES) for c, label in (("a", "Exact"),)]
WANDS_LABELS += [[100, 0, "b", "Partial"], [101, 0, "c", "Irrelevant"]]


def write_wands(folder, products=WANDS_PRODUCTS, queries=WANDS_QUERIES, labels=WANDS_LABELS):
    tables = {
        "product.csv": (WANDS_PRODUCT_HEADER, products),
        "query.csv": (["query_id", "query", "query_class"], queries),
        "label.csv": (["id", "query_id", "product_id", "label"], labels),
    }
    files = {k: rows if isinstance(rows, str) else as_csv(header, rows, "\t") for k, (header, rows) in tables.items()}
    return write(folder, files)


LOG_ITEMS = [{"item_id": c, "title": f"lamp {c}", "price": k + 0.5} for k, c in enumerate("abcd")]
LOG_REQUESTS = [
    {"id": f"r{k}", "time": 1_700_000_000 + k, "query": f"lamp {k}", "user": "u", "engagement": {"a": "click"}}
    for k in range(20)
]


def write_log(folder, requests=LOG_REQUESTS, items=LOG_ITEMS):
    files = {"requests.jsonl": requests, "items.jsonl": items}
    return write(folder, {name: rows if isinstance(rows, str) else as_jsonl(rows) for name, rows in files.items()})


BACKTRACING_FOLDERS = {
    "lecture": ("sight/query/annotated", "sight/sources/annotated"),
    "news": ("inquisitive/query/test", "inquisitive/sources/test"),
    "conversation": ("reccon/query", "reccon/sources"),
}
BACKTRACING_TARGETS = {
    "lecture": lambda places: {"annotatedSourceSentencesIndices": places, "timestamp": 1.5, "names": ["a"]},
    "news": lambda places: {"sentence_id": places[0] + 1},
    "conversation": lambda places: {"source_sentences": places, "emotion": "sadness", "speaker": "B"},
}
BACKTRACING_DOCUMENTS = {  # document: its sentences, and its queries as (text, places of the targets)
    f"d-{k}": (
        [f"The bell rang {word}." for word in ("once", "twice", "again", "late")],
        [(f"Who rang it {word}?", [place]) for place, word in enumerate(("once", "twice"))],
    )
    for k in range(6)
}


def write_backtracing(folder, domain="lecture", documents=BACKTRACING_DOCUMENTS, root="", indent=None, **replaced):
    """The repository of Backtracing; `replaced` holds whole texts by `queries` or `sources` of the document d-0."""
    queries, sources = BACKTRACING_FOLDERS[domain]
    files = {}
    for name, (sentences, asked) in documents.items():
        rows = [{"text": text, **BACKTRACING_TARGETS[domain](places)} for text, places in asked]
        files[f"{root}data/{queries}/{name}.json"] = json.dumps(rows, indent=indent)
        files[f"{root}data/{sources}/{name}.json"] = json.dumps([{"text": text} for text in sentences], indent=indent)
    for part, text in replaced.items():
        files[f"{root}data/{ {'queries': queries, 'sources': sources}[part] }/d-0.json"] = text
    return write(folder, files)
