"""Kitchen: things to cook in, brew with and serve on."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

KITCHEN = Department(
    name="Kitchen",
    colours=("Teal", "Charcoal", "Ivory", "Crimson", "Mustard", "Navy", "Olive", "Sage"),
    sizes=(
        Value(
            "Solo", ("just for one person", "for somebody who lives alone"), ("for a single eater", "for solo meals")
        ),
        Value("Duo", ("for two people", "for a couple"), ("for my wife and me", "for a hungry duo")),
        Value(
            "Quartet",
            ("for four people", "for a family of four"),
            ("for two parents and two hungry teenagers", "for a quartet of eaters"),
        ),
        Value(
            "Banquet",
            ("for eight people or more", "for a big crowd"),
            ("for a whole football team", "for a real banquet"),
        ),
    ),
    uses=(
        Value(
            "Brunch",
            ("for Sunday brunch", "for slow weekend mornings"),
            ("for the days when I sleep late", "for a late brunch in my slippers"),
            "leisurely brunch",
        ),
        Value(
            "Weeknight",
            ("for quick weeknight meals", "for busy evenings after work"),
            ("for when I come home tired", "for an ordinary weeknight"),
            "weeknight cooking",
        ),
        Value(
            "Chalet",
            ("for a chalet", "for our skiing holidays"),
            ("for a hut in the mountains", "for the chalet that we rent"),
            "chalet kitchens",
        ),
        Value(
            "Farmhouse",
            ("for a farmhouse", "for a big old country kitchen"),
            ("for a kitchen with beams and a stone floor", "for a life on a farmhouse budget"),
            "farmhouse charm",
        ),
        Value(
            "Beginner",
            ("for a beginner", "for somebody who is new to cooking"),
            ("for my first flat", "for a nervous beginner"),
            "any beginner",
        ),
    ),
    ranges=("Pantry", "Bistro", "Palace"),
    titles=(
        "{brand} {model} {type}, {material}, {colour}, {size}, {range}",
        "{brand} {range} {type} {model} in {colour} {material} - {size}",
        "{model} {size} {type} by {brand} | {range} | {colour} {material}",
    ),
    descriptions=(
        "Cook with confidence: {this} in {colour} {material} offers {feature} and {feature2}. Portioned "
        "{size}, made for {use}. From our {range} range. {blurb}",
        "{range} quality from {brand}. Choose {this} for {feature}; the {material} body comes in {colour}. "
        "Portion size {size}, perfect for {use}. {blurb}",
        "{blurb} With {feature} and {feature2}, {this} brings {range} style to {use}. Finish: {colour} "
        "{material}. Capacity: {size}.",
    ),
    blurbs=(
        "A trusted favourite among home chefs since our first catalogue.",
        "Dishwasher safe and backed by a ten-year guarantee.",
        "Chefs rate its balance, and so will every household.",
        "Proof that good design belongs next to every hob.",
        "Tested in our own studio before it reaches the shelf.",
    ),
    types=(
        ProductType(
            name="Frying Pan",
            materials=("Cast Iron", "Stainless Steel", "Copper", "Aluminium"),
            uses=("Brunch", "Weeknight", "Chalet", "Beginner"),
            prices=(14, 25, 60, 150),
            features=("an even-heating base", "a riveted handle", "a generous pouring lip", "a non-stick surface"),
            complements=("Casserole Pot", "Serving Tray"),
            needs=(
                "something | to do eggs and bacon in",
                "a skillet | that nothing burns on to",
                "a flat thing with a long handle | for searing steaks",
                "sear a steak until it is crusty",
                "flip pancakes without tearing them",
                "brown onions and mushrooms in butter",
            ),
            unseen=(
                "something shallow | for omelettes",
                "get fish with a crisp skin",
                "make hash browns that do not stick",
            ),
        ),
        ProductType(
            name="Espresso Maker",
            materials=("Stainless Steel", "Aluminium", "Copper", "Porcelain"),
            uses=("Brunch", "Chalet", "Farmhouse", "Beginner"),
            prices=(18, 30, 75, 190),
            features=("a precision filter basket", "a heat-proof knob", "a rich crema", "a safety valve"),
            complements=("Teapot", "Serving Tray"),
            needs=(
                "something | that gives me strong Italian coffee",
                "a moka pot | that sits on the cooker",
                "a machine without electronics | for a proper shot of caffeine",
                "have coffee as strong as in Naples",
                "drink tiny cups of something black and bitter",
                "make the base for a good cappuccino",
            ),
            unseen=(
                "a gadget | that replaces my trip to the barista",
                "stop paying the café for my morning dose",
                "turn ground beans into a dark, thick drink",
            ),
        ),
        ProductType(
            name="Casserole Pot",
            materials=("Cast Iron", "Enamel", "Stoneware", "Stainless Steel"),
            uses=("Weeknight", "Chalet", "Farmhouse", "Beginner"),
            prices=(24, 42, 90, 260),
            features=("a self-basting lid", "two loop handles", "steady heat retention", "an oven-to-table design"),
            complements=("Frying Pan", "Serving Tray"),
            needs=(
                "something deep with a lid | for beef stew",
                "a Dutch oven | for slow braising",
                "a heavy thing | that can simmer soup for hours",
                "braise meat until it falls apart",
                "simmer a big stew very slowly",
                "bake crusty bread under a lid",
            ),
            unseen=(
                "something | to let chilli bubble away in",
                "cook a goulash all afternoon",
                "leave a curry on low heat and forget about it",
            ),
        ),
        ProductType(
            name="Serving Tray",
            materials=("Acacia", "Bamboo", "Stainless Steel", "Porcelain"),
            uses=("Brunch", "Chalet", "Farmhouse", "Beginner"),
            prices=(9, 16, 38, 95),
            features=("raised edges", "cut-out grips", "a wipe-clean face", "anti-slip feet"),
            complements=("Teapot", "Espresso Maker"),
            needs=(
                "something flat | to carry drinks to the sofa on",
                "a board with handles | for bringing snacks outside",
                "something | that gets all the glasses to the table in one go",
                "bring breakfast up to bed without spilling it",
                "carry several cups and plates at once",
                "offer cheese and olives in style",
            ),
            unseen=(
                "a platter | for nibbles",
                "move a full set of dishes from one room to the next",
                "pass round canapés like a waiter",
            ),
        ),
        ProductType(
            name="Teapot",
            materials=("Glass", "Porcelain", "Stoneware", "Cast Iron"),
            uses=("Brunch", "Chalet", "Farmhouse", "Beginner"),
            prices=(13, 24, 55, 140),
            features=("a drip-free spout", "a removable infuser", "a snug-fitting lid", "a comfortable arched handle"),
            complements=("Serving Tray", "Espresso Maker"),
            needs=(
                "something | to brew loose leaves in",
                "a vessel with a spout | for Earl Grey",
                "something | that keeps a hot herbal brew going",
                "steep loose leaves properly",
                "pour a good cuppa for everyone",
                "brew peppermint and camomile the old-fashioned way",
            ),
        ),
    ),
)
