"""Colours: the shop's fashionable names, and how shoppers describe them."""

from __future__ import annotations

from rec_gym.datasets.corner_shop.words import Value

_COLOURS = (
    Value("Teal", ("in teal", "in a blue-green shade", "in the colour of the sea"), ("somewhere between blue and green",)),
    Value("Charcoal", ("in charcoal", "in dark grey", "as grey as a storm cloud"), ("the grey of wet slate",)),
    Value("Ivory", ("in ivory", "off-white", "in a creamy white"), ("the shade of vanilla ice cream",)),
    Value("Crimson", ("in crimson", "in deep red", "as red as a cherry"), ("the red of a fire engine",)),
    Value("Mustard", ("in mustard", "in a dark yellow", "in a warm, earthy yellow"), ("the yellow of old gold",)),
    Value("Navy", ("in navy", "in dark blue", "in a very deep blue"), ("the blue of a sailor's uniform",)),
    Value("Olive", ("in olive", "in a brownish green", "in army green"), ("the dull green of a soldier's jacket",)),
    Value("Blush", ("in blush", "in a pale pink", "in a soft, powdery pink"), ("the pink of a baby's cheeks",)),
    Value("Lavender", ("in lavender", "in a light purple", "in a pale violet"), ("the purple of a field in Provence",)),
    Value("Onyx", ("in onyx", "in plain black", "as black as coal"), ("the black of a moonless night",)),
    Value("Sand", ("in a sand colour", "in beige", "in a light, yellowish brown"), ("the shade of a dry beach",)),
    Value("Cobalt", ("in cobalt", "in bright blue", "in a strong, vivid blue"), ("the blue of a clear summer sky",)),
    Value("Sage", ("in sage", "in a pale greyish green", "in a soft, dusty green"), ("the green of dried herbs",)),
    Value("Plum", ("in plum", "in a dark purple", "in a reddish purple"), ("the purple of an aubergine",)),
    Value("Tangerine", ("in tangerine", "in bright orange", "as orange as a pumpkin"), ("the shade of a ripe apricot",)),
    Value("Chestnut", ("in chestnut", "in a reddish brown", "in a warm, dark brown"), ("the brown of a bay horse",)),
)

COLOURS: dict[str, Value] = {colour.word: colour for colour in _COLOURS}
