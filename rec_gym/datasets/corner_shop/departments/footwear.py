"""Footwear: things for the feet."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

FOOTWEAR = Department(
    name="Footwear",
    colours=("Onyx", "Chestnut", "Sand", "Navy", "Olive", "Crimson", "Cobalt", "Ivory"),
    sizes=(
        Value(
            "EU 37", ("in size 37", "for rather little feet, size 37"), ("right for feet of 23 centimetres", "in a 37")
        ),
        Value("EU 39", ("in size 39", "for a continental 39"), ("right for feet of 25 centimetres", "in a 39")),
        Value("EU 42", ("in size 42", "for a continental 42"), ("right for feet of 27 centimetres", "in a 42")),
        Value("EU 45", ("in size 45", "for big feet, size 45"), ("right for feet of 29 centimetres", "in a 45")),
    ),
    uses=(
        Value(
            "Winter", ("for winter", "for icy months"), ("for January in Norway", "for a hard winter"), "winter days"
        ),
        Value(
            "Recovery",
            ("for recovery from an injury", "for the weeks after an operation"),
            ("for healing toes", "for my slow recovery"),
            "a gentle recovery",
        ),
        Value(
            "Orthotic",
            ("for orthotic inserts", "for flat feet"),
            ("for fallen arches", "for the orthotic soles that my doctor ordered"),
            "orthotic insoles",
        ),
        Value(
            "Ceremony",
            ("for a ceremony", "for a wedding or a christening"),
            ("for standing at the altar", "for a solemn ceremony"),
            "any ceremony",
        ),
        Value(
            "Driving",
            ("for driving", "for hours behind the wheel"),
            ("for working the pedals of a car", "for a day of driving"),
            "relaxed driving",
        ),
        Value(
            "Pilgrimage",
            ("for a pilgrimage", "for walking to Santiago"),
            ("for weeks on the road to Rome", "for a pilgrimage in May"),
            "any pilgrimage",
        ),
    ),
    ranges=("Pavement", "Boulevard", "Promenade"),
    titles=(
        "{brand} {type} {model}, {material}, {colour}, {size}, {range}",
        "{model} {type} by {brand} in {colour} {material}, {size} - {range}",
        "{brand} {range} {type}, {size}, {colour} {material}",
    ),
    descriptions=(
        "Step out in {this}: {material} uppers in {colour}, {feature} and {feature2}. Last: {size}. "
        "Recommended for {use}. {range} series. {blurb}",
        "{blurb} {brand} made {this} with {feature}, {material} in {colour}, and a {range} finish. {size} "
        "last, ideal for {use}.",
        "A {range} classic. We fitted {this} with {feature} and {feature2}. Upper: {material}. Shade: "
        "{colour}. Last: {size}. Suits {use}.",
    ),
    blurbs=(
        "Our cobblers stand behind every stitch.",
        "Resoleable, repairable and built to be kept.",
        "Goes with everything in a sensible wardrobe.",
        "Ships with a dust bag and spare laces or cleaner.",
        "Comfort out of the box, no breaking-in required.",
    ),
    types=(
        ProductType(
            name="Hiking Boots",
            materials=("Leather", "Suede", "Nylon", "Canvas"),
            uses=("Winter", "Orthotic", "Pilgrimage"),
            prices=(48, 80, 160, 380),
            features=("deep-lug outsoles", "padded ankle collars", "speed-lacing hooks", "a shock-absorbing midsole"),
            complements=("Sneakers", "Sandals"),
            needs=(
                "a sturdy pair | that supports my ankles on steep paths",
                "something | to put on for walks in the mountains",
                "a rugged pair | for stony trails",
                "climb rocky trails without twisting an ankle",
                "walk in the mountains with dry toes",
                "go up steep, muddy paths with a good grip",
            ),
            unseen=("a tough pair | for the Alps", "trek for days without blisters", "keep my footing on loose scree"),
            plural=True,
        ),
        ProductType(
            name="Slippers",
            materials=("Felt", "Suede", "Wool", "Cotton"),
            uses=("Winter", "Recovery", "Orthotic"),
            prices=(9, 18, 42, 110),
            features=("cushioned footbeds", "quiet soles", "a turn-down cuff", "a moulded heel cup"),
            complements=("Loafers", "Sandals"),
            needs=(
                "something cosy | to wear around the house",
                "a warm pair | for cold kitchen tiles",
                "something soft | I can put on when I come home",
                "stop freezing on my bare floorboards",
                "pad around the house with warm toes",
                "get out of my street shoes and into something soft",
            ),
            unseen=(
                "an indoor pair | that feels like a hug",
                "shuffle about at home in comfort",
                "spare my downstairs neighbours the sound of my heels",
            ),
            plural=True,
        ),
        ProductType(
            name="Loafers",
            materials=("Leather", "Suede", "Canvas", "Felt"),
            uses=("Orthotic", "Ceremony", "Driving"),
            prices=(38, 65, 140, 340),
            features=("hand-sewn aprons", "a stacked heel", "a flexible welt", "a penny strap"),
            complements=("Slippers", "Sneakers"),
            needs=(
                "a smart pair | without laces",
                "a slip-on pair | that goes with a suit",
                "something elegant | that I never have to tie",
                "look smart without tying any laces",
                "get into elegant shoes without bending down",
                "dress well from the ankles down in two seconds",
            ),
            unseen=(
                "a lace-free pair | for the boardroom",
                "wear dress shoes although my fingers cannot tie a bow",
                "look like an Ivy League professor down to my toes",
            ),
            plural=True,
        ),
        ProductType(
            name="Sneakers",
            materials=("Mesh", "Canvas", "Leather", "Suede"),
            uses=("Winter", "Recovery", "Orthotic"),
            prices=(30, 55, 115, 260),
            features=("responsive foam", "a padded tongue", "reflective piping", "an outsole with flex grooves"),
            complements=("Hiking Boots", "Loafers"),
            needs=(
                "a springy pair | for jogging",
                "a pair of trainers | that is kind to my knees",
                "something light | to run my first marathon in",
                "jog round the park every morning",
                "run ten kilometres without sore knees",
                "play tennis and basketball at school",
            ),
            unseen=(
                "a bouncy pair | for the treadmill",
                "sprint for the bus in comfort",
                "get fit with the local athletics club",
            ),
            plural=True,
        ),
        ProductType(
            name="Sandals",
            materials=("Leather", "Cork", "Rubber", "Canvas"),
            uses=("Orthotic", "Ceremony", "Pilgrimage"),
            prices=(16, 30, 70, 180),
            features=("an adjustable buckle", "a contoured footbed", "a crossover strap", "a toe loop"),
            complements=("Slippers", "Loafers"),
            needs=(
                "an open pair | that lets my toes breathe",
                "something airy on my feet | for hot weather",
                "an open-toed pair | for warm evenings",
                "let my toes breathe when it is hot",
                "walk in the heat without sweaty socks",
                "show off my pedicure all summer",
            ),
            plural=True,
        ),
    ),
)
