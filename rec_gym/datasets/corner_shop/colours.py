"""Colours: the shop's fashionable names, and how shoppers describe them."""

from __future__ import annotations

from rec_gym.datasets.corner_shop.words import Value

_COLOURS = (
    Value(
        "Teal",
        ("in teal", "in a bluish green", "in the colour of the sea"),
        ("in a shade between blue and green", "in a shade of teal"),
    ),
    Value(
        "Charcoal",
        ("in charcoal", "in dark grey", "as grey as a storm cloud"),
        ("in the grey of wet slate", "in a shade of charcoal"),
    ),
    Value(
        "Ivory",
        ("in ivory", "off-white", "in a creamy white"),
        ("in the shade of vanilla ice cream", "in a shade of ivory"),
    ),
    Value(
        "Crimson",
        ("in crimson", "in deep red", "as red as a cherry"),
        ("in the red of a fire engine", "in a shade of crimson"),
    ),
    Value(
        "Mustard",
        ("in mustard", "in a dark yellow", "in a warm, earthy yellow"),
        ("in the yellow of old gold", "in a shade of mustard"),
    ),
    Value(
        "Navy",
        ("in navy", "in dark blue", "in a very deep blue"),
        ("in the blue of a sailor's uniform", "in a shade of navy"),
    ),
    Value(
        "Olive",
        ("in olive", "in a brownish green", "in army green"),
        ("in the dull green of a soldier's jacket", "in a shade of olive"),
    ),
    Value(
        "Blush",
        ("in blush", "in a pale pink", "in a soft, powdery pink"),
        ("in the pink of a baby's cheeks", "in a shade of blush"),
    ),
    Value(
        "Lavender",
        ("in lavender", "in a light purple", "in a pale violet"),
        ("in the purple of a field in Provence", "in a shade of lavender"),
    ),
    Value(
        "Onyx",
        ("in onyx", "in plain black", "as black as coal"),
        ("in the black of a moonless night", "in a shade of onyx"),
    ),
    Value(
        "Sand",
        ("in a sand colour", "in beige", "in a light, yellowish brown"),
        ("in the shade of a dry beach", "in the shade called sand"),
    ),
    Value(
        "Cobalt",
        ("in cobalt", "in bright blue", "in a strong, vivid blue"),
        ("in the blue of a clear summer sky", "in a shade of cobalt"),
    ),
    Value(
        "Sage",
        ("in sage", "in a pale greyish green", "in a soft, dusty green"),
        ("in the green of dried herbs", "in a shade of sage"),
    ),
    Value(
        "Plum",
        ("in plum", "in a dark purple", "in a reddish purple"),
        ("in the purple of an aubergine", "in a shade of plum"),
    ),
    Value(
        "Tangerine",
        ("in tangerine", "in bright orange", "as orange as a pumpkin"),
        ("in the shade of a ripe apricot", "in a shade of tangerine"),
    ),
    Value(
        "Chestnut",
        ("in chestnut", "in a reddish brown", "in a warm, dark brown"),
        ("in the brown of a bay horse", "in a shade of chestnut"),
    ),
)

COLOURS: dict[str, Value] = {colour.word: colour for colour in _COLOURS}
