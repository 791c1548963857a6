"""The building blocks of CornerShop's language: what the shop calls a thing, and what shoppers say instead.

Every wording of an attribute is a predicate that works both after "it should be ..." and directly after
"something ...": `made of copper`, `in a pale green`, `for two people`. So one list serves every sentence.

A need is either a verb phrase (`flip pancakes without tearing them`), which follows "I want to ...", or a noun phrase
with a bar (`something | to do eggs and bacon in`), which follows "I need ..."; wishes are put in at the bar.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """One value of an attribute.

    Attributes:
        word: the shop's word; it stands in the column, the title and the oracle query.
        wordings: what shoppers say in train, val and test (and in every shift but `ood-phrasing`).
        unseen: what shoppers say in `ood-phrasing` only.
        copy: what the shop's descriptions say, a noun phrase that holds `word`; empty for the word itself.
    """

    word: str
    wordings: tuple[str, ...]
    unseen: tuple[str, ...]
    copy: str = ""


@dataclass(frozen=True)
class ProductType:
    """A kind of product.

    Attributes:
        name: the shop's name, in title case.
        materials: words of the materials it comes in.
        uses: words of the department's uses that suit it.
        prices: four limits in whole dollars, rising: the value range costs from the first up to the second, the
            standard range lies between the second (and a gap above it) and the third, the premium range above.
        features: what its descriptions praise; noun phrases.
        complements: names of the types that go with it.
        needs: what shoppers say in train, val and test.
        unseen: what shoppers say in `ood-phrasing` only; empty for a type that is kept for `ood-type`.
        plural: whether the name is a plural.
    """

    name: str
    materials: tuple[str, ...]
    uses: tuple[str, ...]
    prices: tuple[int, int, int, int]
    features: tuple[str, ...]
    complements: tuple[str, ...]
    needs: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    plural: bool = False

    @property
    def held_out(self) -> bool:
        """Whether the type is asked for in `ood-type` only."""
        return not self.unseen


@dataclass(frozen=True)
class Department:
    """A department: five types, and the words that they share.

    Attributes:
        name: the department, also the domain of its requests.
        colours: words of the colours it stocks.
        sizes: four sizes, rising.
        uses: occasions and purposes.
        ranges: the shop's names of its value, standard and premium range.
        titles: patterns of titles.
        descriptions: patterns of descriptions.
        blurbs: marketing sentences.
        types: the five product types, the one for `ood-type` last.
    """

    name: str
    colours: tuple[str, ...]
    sizes: tuple[Value, ...]
    uses: tuple[Value, ...]
    ranges: tuple[str, str, str]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    blurbs: tuple[str, ...]
    types: tuple[ProductType, ...]
