"""Files as the publishers of ESCI lay them out."""

import pyarrow as pa
import pyarrow.parquet as pq

from rec_gym.datasets import esci


def gains(dataset, request_id):
    return dict(dataset.request(request_id).gains)


def split_of(dataset):
    return dict(zip(dataset.column("id"), dataset.column("split"), strict=True))


FIELDS = ("title", "description", "bullet_point", "brand", "color")


def product(name, locale="us", **texts):
    return {"product_id": name, "product_locale": locale} | {f"product_{field}": texts.get(field) for field in FIELDS}


def example(query, name, label, split="train", locale="us", small=1, text=None):
    text = f"query {query}" if text is None else text
    row = {"example_id": 0, "query": text, "query_id": query, "product_id": name, "product_locale": locale}
    return row | {"esci_label": label, "small_version": small, "large_version": 1, "split": split}


PRODUCTS = [product(c, title=f"title {c}", brand="B") for c in "abcd"] + [product("a", "jp", title="other")]


EXAMPLES = [
    *(example(1, name, label) for name, label in zip("abcd", "ESCI", strict=True)),
    example(2, "b", "E", "test"),
    example(3, "c", "E", "test", small=0),
    example(4, "a", "E", "test", locale="jp"),
]


def write_esci(folder, examples=EXAMPLES, products=PRODUCTS):
    pq.write_table(pa.Table.from_pylist(examples), folder / esci.EXAMPLES)
    pq.write_table(pa.Table.from_pylist(products), folder / esci.PRODUCTS)
    return str(folder)
