"""Camping: things for nights outdoors."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

CAMPING = Department(
    name="Camping",
    colours=("Olive", "Tangerine", "Cobalt", "Crimson", "Sand", "Charcoal", "Mustard", "Navy"),
    sizes=(
        Value(
            "Lone",
            ("right for one lone traveller", "right for somebody who goes alone"),
            ("right for a hermit", "right for a lone wolf"),
        ),
        Value(
            "Pair",
            ("right for a pair", "right for two friends"),
            ("right for me and my boyfriend", "sufficient for a pair"),
        ),
        Value(
            "Crew",
            ("right for a crew of four", "right for four people"),
            ("right for parents with two kids", "sufficient for a crew"),
        ),
        Value(
            "Troop",
            ("right for a whole troop", "right for ten people or so"),
            ("right for a scout leader and nine children", "sufficient for a troop"),
        ),
    ),
    uses=(
        Value(
            "Alpine",
            ("for alpine heights", "for nights above the tree line"),
            ("for the slopes of Mont Blanc", "for an alpine summer"),
            "alpine nights",
        ),
        Value(
            "Canoeing",
            ("for canoeing", "for paddling down a river"),
            ("for a week of rapids and portages", "for canoeing in Sweden"),
            "canoeing tours",
        ),
        Value(
            "Fishing",
            ("for fishing", "for waiting for carp by a lake"),
            ("for anglers with rods and worms", "for a weekend of fishing"),
            "fishing weekends",
        ),
        Value(
            "Desert",
            ("for the desert", "for hot, dusty places"),
            ("for crossing the Sahara", "for a desert expedition"),
            "desert routes",
        ),
        Value(
            "Concert",
            ("for open-air concerts", "for music festivals"),
            ("for Glastonbury", "for a concert in a field"),
            "concert fields",
        ),
    ),
    ranges=("Meadow", "Ridge", "Summit"),
    titles=(
        "{brand} {model} {type}, {size}, {colour}, {material}, {range}",
        "{brand} {range} {size} {type} in {colour} {material}",
        "{type} {model} by {brand} | {material} | {colour} | {size} | {range}",
    ),
    descriptions=(
        "Leave the map behind with {this}: {material}, {colour}, {feature} and {feature2}. Group: {size}. "
        "Field-tested for {use}. {range} level. {blurb}",
        "{blurb} At {range} level, {brand} equips {this} with {feature} and hard-wearing {material} in "
        "{colour}. Group: {size}. The answer to {use}.",
        "Pack {this} and count on {feature} and {feature2}. Build: {material}. Signal shade: {colour}. Group: "
        "{size}. {range} level, proven on {use}.",
    ),
    blurbs=(
        "Guides have relied on it for three decades.",
        "Sets up in minutes, even with cold fingers.",
        "Repair kit and stuff sack are included.",
        "Stress-tested in a wind tunnel and a cloudburst.",
        "Every gram was weighed and questioned.",
    ),
    types=(
        ProductType(
            name="Tent",
            materials=("Nylon", "Canvas", "Cotton", "Polyester"),
            uses=("Alpine", "Canoeing", "Fishing", "Desert", "Concert"),
            prices=(55, 95, 220, 640),
            features=("colour-coded poles", "a sewn-in floor", "a roomy porch", "guy-line tensioners"),
            complements=("Picnic Rug", "Lantern"),
            needs=(
                "a shelter | I can pitch in ten minutes",
                "something | to sleep under in the wild",
                "a roof with pegs | that folds into a bag",
                "sleep outdoors under a waterproof roof",
                "pitch a shelter before it gets dark",
                "spend the night in a field without getting wet",
            ),
            unseen=(
                "a house of cloth | that I can carry",
                "zip myself in against rain and midges",
                "have a roof over my head in the woods",
            ),
        ),
        ProductType(
            name="Picnic Rug",
            materials=("Cotton", "Wool", "Polyester", "Fleece"),
            uses=("Canoeing", "Fishing", "Desert", "Concert"),
            prices=(16, 30, 70, 180),
            features=("a damp-proof backing", "a rolled carry strap", "tasselled ends", "corner peg loops"),
            complements=("Tent", "Cooler"),
            needs=(
                "something | to sit on in the grass",
                "a big cloth | to spread out on the ground",
                "something soft | that keeps our bottoms dry on damp soil",
                "sit on the ground without getting damp",
                "spread our sandwiches out on the grass",
                "lie in the grass without ants crawling on my skin",
            ),
            unseen=(
                "a cloth | for lunch under the trees",
                "have lunch on the ground in comfort",
                "stretch out on damp soil with a book",
            ),
        ),
        ProductType(
            name="Portable Stove",
            materials=("Titanium", "Stainless Steel", "Aluminium", "Brass"),
            uses=("Alpine", "Canoeing", "Fishing", "Desert"),
            prices=(19, 35, 80, 220),
            features=("a piezo igniter", "fold-out pot supports", "a flame regulator", "a wind-shielded burner"),
            complements=("Cooler", "Lantern"),
            needs=(
                "a burner | to boil water on outdoors",
                "something with a gas flame | for noodles on the trail",
                "a little cooker | that fits in a rucksack",
                "boil water for noodles in the wild",
                "cook pasta miles away from any kitchen",
                "have hot soup without lighting a campfire",
            ),
            unseen=("a primus | for billy cans", "fry sausages where fires are forbidden", "melt snow to drink"),
        ),
        ProductType(
            name="Cooler",
            materials=("Polyester", "Plastic", "Aluminium", "Canvas"),
            uses=("Canoeing", "Fishing", "Desert", "Concert"),
            prices=(24, 42, 95, 280),
            features=("a bottle-opener latch", "thick foam walls", "a drain plug", "a seat-strength lid"),
            complements=("Portable Stove", "Picnic Rug"),
            needs=(
                "something | to keep beer cold all day",
                "an ice box | for hot days",
                "something | that stops butter and meat from going off in the heat",
                "keep drinks cold without a fridge",
                "take ice and cold meat on an outing",
                "stop fish and milk from going off in the sun",
            ),
            unseen=(
                "an esky | full of ice",
                "drink chilled lemonade far from any fridge",
                "transport frozen food on a summer's day",
            ),
        ),
        ProductType(
            name="Lantern",
            materials=("Brass", "Aluminium", "Plastic", "Bamboo"),
            uses=("Alpine", "Canoeing", "Fishing", "Concert"),
            prices=(13, 25, 58, 150),
            features=("stepless dimming", "a carabiner loop", "a frosted globe", "a hand-crank backup"),
            complements=("Tent", "Portable Stove"),
            needs=(
                "a light | that stands on a table outdoors",
                "something bright | for playing cards after dark",
                "a lamp | to hang from a branch",
                "see what I am eating after dark",
                "light up our pitch at night",
                "play cards outdoors when there is no moon",
            ),
        ),
    ),
)
