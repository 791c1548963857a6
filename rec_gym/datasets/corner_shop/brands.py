"""Names of brands and models: invented, and free of words that mean something else in the shop."""

from __future__ import annotations

_FIRST = (
    "Abernathy", "Barlow", "Caspian", "Delacroix", "Everly", "Fenwick", "Gallagher", "Hartley", "Isobel", "Jansen",
    "Kessler", "Lindqvist", "Marlowe", "Novak", "Osborne", "Prescott", "Quigley", "Rosetti", "Selwyn", "Thornbury",
    "Ulrich", "Vandermeer", "Whitlock", "Yarrow", "Zimmer", "Ashcombe", "Bellamy", "Corvin", "Dunmore", "Ellery",
    "Farrow", "Grimaldi", "Halloran", "Ingram", "Jourdan", "Kirkwall", "Larkspur", "Montague", "Norwell", "Ormond",
    "Pemberton", "Radcliffe", "Sorensen", "Tremaine", "Upton", "Vasquez", "Wycombe", "Zeller",
)  # fmt: skip

_SECOND = (
    "Works", "Foundry", "Mill", "Trading", "Guild", "Supply", "Wares", "House", "Union", "Crafts",
    "Emporium", "Merchants", "Factory", "Collective", "Goods", "Outfitters", "Provisions", "Yard", "Studios", "Company",
    "Partners", "Forge", "Depository", "Stores", "Bazaar", "Cooperative", "Manufactory", "Associates", "Bureau", "Lab",
    "Brothers", "Sisters", "Artisans", "Traders", "Dynasty", "Assembly", "Quarters", "Exchange", "Society", "Venture",
    "Industries", "Imports", "Concern", "League", "Syndicate", "Institute", "Circle", "Kin", "Alliance", "Heritage",
)  # fmt: skip

MODELS = (
    "Aria", "Bergen", "Calder", "Delano", "Elara", "Faro", "Gibson", "Halden", "Imola", "Juno", "Kelso", "Lyra",
    "Mirelle", "Nevada", "Otis", "Palermo", "Quinta", "Rialto", "Sienna", "Tallis", "Umbria", "Verona", "Wexford",
    "Xenia", "Ystad", "Zadar", "Arlo", "Bexley", "Cortina", "Dorset", "Elgin", "Fiesole", "Garda", "Hobart", "Ithaca",
    "Jasper", "Kona", "Livorno", "Malmo", "Nantes", "Orsa", "Pisa", "Ravello", "Salerno", "Toledo", "Ventura",
    "Windsor", "Yuma", "Zurich", "Amalfi", "Bruges", "Como", "Dover", "Essen", "Florian", "Ghent", "Hudson", "Ischia",
    "Jena", "Kyoto",
)  # fmt: skip

_NAMES = len(_FIRST) * len(_SECOND)


def brand_name(number: int) -> str:
    """The name of a brand; every number has its own."""
    again, place = divmod(number, _NAMES)
    # 48 and 50 are chosen so that the second word walks through all fifty before a pair comes again.
    name = f"{_FIRST[place % 48]} {_SECOND[(place // 48 + place) % 50]}"
    return name if again == 0 else f"{name} {again + 1}"
