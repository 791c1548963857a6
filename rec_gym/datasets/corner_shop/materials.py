"""Materials: the shop's words, and how shoppers describe them."""

from __future__ import annotations

from rec_gym.datasets.corner_shop.words import Value

# The shop's word; two wordings beside the plain "made of ..."; a wording for `ood-phrasing` beside "crafted from ...".
_WORDINGS = (
    ("Acacia", "made of a dark tropical wood", "carved from golden-brown timber", "turned from an exotic hardwood"),
    (
        "Acrylic",
        "made of clear, shatterproof plastic",
        "moulded from see-through plastic",
        "made of transparent perspex",
    ),
    (
        "Aluminium",
        "made of very light metal",
        "as light as metal can be",
        "made of the metal that drinks cans are made of",
    ),
    (
        "Bamboo",
        "made from fast-growing Asian grass",
        "made from the plant that pandas eat",
        "made of hollow Asian canes",
    ),
    ("Beech", "made of pale, hard wood", "made of light-coloured solid wood", "cut from a smooth European hardwood"),
    ("Birch", "made of pale Nordic wood", "made of light Scandinavian timber", "cut from the tree with white bark"),
    ("Brass", "made of golden-looking metal", "in the yellow metal of trumpets", "in the metal of old door knobs"),
    (
        "Canvas",
        "made of strong, coarse cloth",
        "made of the cloth that sails are made of",
        "made of the fabric that artists paint on",
    ),
    (
        "Cardboard",
        "made of stiff, thick paper",
        "made of recyclable pressed paper",
        "made of the stuff that parcels are packed in",
    ),
    (
        "Cashmere",
        "made of the softest goat hair",
        "made of very fine goat's wool",
        "made of the finest wool that money can buy",
    ),
    (
        "Cast Iron",
        "made of heavy black metal",
        "made of heavy metal that lasts for generations",
        "heavy enough to be a blacksmith's work",
    ),
    ("Ceramic", "made of fired clay", "made of glazed pottery", "from a potter's kiln"),
    (
        "Chrome",
        "made of shiny, mirror-like metal",
        "in polished, silvery metal",
        "as shiny as a new car's bumper",
    ),
    ("Concrete", "made of heavy grey cement", "made of poured cement", "made of the stuff that bridges are built from"),
    (
        "Copper",
        "made of reddish, shiny metal",
        "made of the metal in electric wires",
        "made of the metal that turns green on church roofs",
    ),
    ("Cork", "made of soft tree bark", "made of the stuff in wine-bottle stoppers", "made of springy Portuguese bark"),
    (
        "Cotton",
        "made of a natural fabric that breathes",
        "made of soft, natural, washable cloth",
        "made of the same cloth as a T-shirt",
    ),
    (
        "Down",
        "filled with fine goose feathers",
        "filled with light, warm feathers",
        "stuffed with the plumage of ducks",
    ),
    ("Enamel", "coated with glassy glaze", "covered with hard, shiny glaze", "coated like an old tin mug"),
    ("Felt", "made of thick pressed wool", "made of soft, matted wool", "made of the fabric on a billiard table"),
    (
        "Fleece",
        "made of soft, fluffy, quick-drying fabric",
        "made of cuddly synthetic fabric",
        "made of brushed fabric like a hiker's jacket",
    ),
    ("Glass", "made of something I can see through", "made of the same stuff as windows", "fragile but clear as water"),
    ("Leather", "made of real animal hide", "made of cowhide", "made of tanned skin that ages well"),
    ("Linen", "made of cool, crisp flax", "woven from flax", "made of the crinkly cloth of summer suits"),
    (
        "Merino",
        "made of fine wool that does not itch",
        "made of fine sheep's wool",
        "spun by New Zealand sheep farmers",
    ),
    (
        "Mesh",
        "made of airy, net-like fabric",
        "made of open, breathable netting",
        "full of tiny holes that let the air in",
    ),
    (
        "Microfibre",
        "made of very fine synthetic threads",
        "made of silky man-made fabric",
        "made of the fabric of spectacle cloths",
    ),
    ("Nylon", "made of tough synthetic fabric", "made of slick man-made fabric", "made of the fabric of parachutes"),
    ("Oak", "made of heavy, solid wood", "made of the wood of acorn trees", "cut from a proud old English tree"),
    (
        "Kraft Paper",
        "made of plain brown paper",
        "made of rough, recycled brown paper",
        "made of the brown stuff that grocers wrap things in",
    ),
    ("Pine", "made of light, knotty wood", "made of soft wood with visible knots", "cut from an evergreen tree"),
    (
        "Plastic",
        "made of something light and wipe-clean",
        "made of cheap, washable synthetic stuff",
        "made of the stuff that toy bricks are moulded from",
    ),
    ("Plush", "made of soft, furry fabric", "covered in cuddly pile", "as velvety as a theatre curtain"),
    ("Polycarbonate", "made of hard, glossy plastic", "made of unbreakable plastic", "as tough as riot-police shields"),
    (
        "Polyester",
        "made of easy-care synthetic cloth",
        "made of cloth that needs no ironing",
        "made of man-made yarn that never shrinks",
    ),
    ("Porcelain", "made of fine white china", "made of thin, delicate china", "as fine as my grandmother's best cups"),
    ("Rattan", "woven from tropical vines", "made of woven palm stems", "made of wickerwork"),
    ("Resin", "made of weatherproof cast plastic", "made of cast synthetic stone", "poured into a mould and hardened"),
    ("Rubber", "made of stretchy, waterproof stuff", "made of the stuff of car tyres", "made of bouncy latex"),
    (
        "Seagrass",
        "woven from dried marsh plants",
        "woven from natural plant fibres from the coast",
        "plaited from dried reeds",
    ),
    (
        "Silicone",
        "made of soft, bendy, heatproof stuff",
        "made of flexible, rubbery stuff",
        "made of the squashy stuff of baking moulds",
    ),
    (
        "Silk",
        "made of smooth, shiny natural fabric",
        "made of the thread of caterpillars",
        "made of the fabric of fine neckties",
    ),
    (
        "Sisal",
        "wrapped in rough natural rope",
        "made of coarse plant rope",
        "made of the scratchy fibre of old doormats",
    ),
    (
        "Stainless Steel",
        "made of metal that does not rust",
        "made of rust-free metal",
        "made of the metal that good cutlery is made of",
    ),
    ("Stoneware", "made of thick, heavy pottery", "made of sturdy glazed clay", "fired hot in a country pottery"),
    ("Suede", "made of soft, velvety hide", "made of brushed, napped hide", "as velvety as a cowboy's jacket"),
    (
        "Teak",
        "made of oily wood for ships",
        "made of wood that can stay out in the rain",
        "made of the timber of yacht decks",
    ),
    (
        "Terracotta",
        "made of reddish baked clay",
        "made of unglazed orange clay",
        "made of the clay of Tuscan roof tiles",
    ),
    (
        "Titanium",
        "made of the metal used in space",
        "made of ultralight, very strong metal",
        "made of the metal of artificial hips",
    ),
    ("Walnut", "made of rich, dark wood", "made of dark brown nut wood", "cut from the wood of fine gun stocks"),
    ("Wool", "made of warm sheep's hair", "made of yarn from sheep", "from a flock and not from a factory"),
    ("Zinc", "made of dull bluish metal", "made of galvanised metal", "made of the metal of Parisian bar counters"),
)

_VERBS = {
    "Down": ("filled with", "stuffed with"),
    "Enamel": ("coated with", "finished in"),
    "Sisal": ("wrapped in", "covered in"),
}


def _value(word: str, one: str, two: str, unseen: str) -> Value:
    seen_verb, unseen_verb = _VERBS.get(word, ("made of", "crafted from"))
    return Value(word, (f"{seen_verb} {word.lower()}", one, two), (unseen, f"{unseen_verb} {word.lower()}"))


MATERIALS: dict[str, Value] = {row[0]: _value(*row) for row in _WORDINGS}
