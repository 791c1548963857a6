"""The catalogue: titles and descriptions in the shop's language, written for a latent shop.

Every item says the name of its type, its material, its colour, its size and its range once in the title and once in
the description, and its use in the description. So a query in the shop's words finds what it means.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from rec_gym.datasets.corner_shop.brands import MODELS
from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.shop import Shop
from rec_gym.datasets.corner_shop.taxonomy import ATTRIBUTES, KINDS, Kind, code_words

CHUNK = 1 << 15

_SCHEMA = pa.schema(
    [
        *((name, pa.large_string()) for name in ("item_id", "title", "brand", "description", "department", "type")),
        *((name, pa.large_string()) for name in ATTRIBUTES),
        ("price", pa.float64()),
        ("popularity", pa.int64()),
    ]
)


def write_catalogue(shop: Shop) -> pa.Table:
    """The catalogue of a shop as an Arrow table; at most one chunk is held as Python objects."""
    return pa.Table.from_batches(list(_batches(shop)), _SCHEMA)


def _batches(shop: Shop) -> Iterator[pa.RecordBatch]:
    # One 32-bit draw per item decides its style: 60 models x 3 titles x 3 descriptions x 12 feature pairs x 5 blurbs.
    styles = Draws(shop.seed, "copy").array(60 * 3 * 3 * 12 * 5, len(shop))
    writers = [_Writer(kind) for kind in KINDS]
    for start in range(0, len(shop), CHUNK):
        stop = min(start + CHUNK, len(shop))
        rows = zip(
            range(start, stop),
            *(column[start:stop].tolist() for column in (shop.kinds, shop.brands, shop.ranges, styles)),
            *(shop.codes[attribute][start:stop].tolist() for attribute in ATTRIBUTES),
            strict=True,
        )
        columns: list[list[str]] = [[] for _ in range(10)]
        for item, kind, brand, tier, style, *codes in rows:
            written = writers[kind].write(item, shop.brand(KINDS[kind], brand), tier, style, codes)
            for column, text in zip(columns, written, strict=True):
                column.append(text)
        arrays = [pa.array(column, pa.large_string()) for column in columns]
        # Cents over a hundred are the double that is nearest to the decimal price, on every machine.
        arrays.append(pa.array(shop.cents[start:stop].astype(np.float64) / 100.0))
        arrays.append(pa.array(shop.popularity[start:stop]))
        yield pa.record_batch(arrays, _SCHEMA)


class _Writer:
    """Writes the texts of one product type."""

    def __init__(self, kind: Kind) -> None:
        self.type, self.department = kind.type, kind.department
        self.words = {attribute: code_words(attribute, kind.department) for attribute in ATTRIBUTES}
        self.uses = [use.copy or use.word for use in kind.department.uses]
        features = kind.type.features
        self.features = [(one, two) for one in features for two in features if one != two]
        self.this = f"{'these' if kind.type.plural else 'this'} {kind.type.name.lower()}"

    def write(self, item: int, brand: str, tier: int, style: int, codes: list[int]) -> tuple[str, ...]:
        """The ten text columns of one item."""
        style, model = divmod(style, 60)
        style, title = divmod(style, 3)
        style, description = divmod(style, 3)
        blurb, pair = divmod(style, 12)
        values = {attribute: self.words[attribute][code] for attribute, code in zip(ATTRIBUTES, codes, strict=True)}
        shared = {"brand": brand, "model": MODELS[model], "range": self.department.ranges[tier]}
        feature, feature2 = self.features[pair]
        return (
            f"CS-{item:06d}",
            self.department.titles[title].format(type=self.type.name, **values, **shared),
            brand,
            self.department.descriptions[description].format(
                this=self.this,
                feature=feature,
                feature2=feature2,
                blurb=self.department.blurbs[blurb],
                size=values["size"],
                colour=values["colour"].lower(),
                material=values["material"].lower(),
                use=self.uses[codes[ATTRIBUTES.index("use")]],
                **shared,
            ),
            self.department.name,
            self.type.name,
            *values.values(),
        )
