"""Bathroom: things for washing, drying and tidying up."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

BATHROOM = Department(
    name="Bathroom",
    colours=("Ivory", "Sage", "Onyx", "Teal", "Blush", "Sand", "Lavender", "Charcoal"),
    sizes=(
        Value(
            "Slimline",
            ("slimline", "thin enough for a tiny room"),
            ("right for a room like a cupboard", "on the slimline side"),
        ),
        Value(
            "Midsize", ("midsize", "of average dimensions"), ("halfway between tiny and huge", "of midsize dimensions")
        ),
        Value("Roomy", ("roomy", "anything but cramped"), ("far from stingy in its dimensions", "on the roomy side")),
        Value(
            "Oversize", ("oversize", "much bigger than normal"), ("big enough for a giant", "of oversize dimensions")
        ),
    ),
    uses=(
        Value(
            "Hotel",
            ("for a hotel", "for the guest house that I run"),
            ("for the rooms of my inn", "for a tired hotel"),
            "hotel interiors",
        ),
        Value(
            "Mobility",
            ("for people with poor mobility", "for an old man who is unsteady on his feet"),
            ("for my aunt, who walks with a frame", "for the mobility of my parents"),
            "mobility needs",
        ),
        Value(
            "Nursery",
            ("for a nursery", "for washing my baby"),
            ("for a week-old infant", "for the nursery of our twins"),
            "nursery routines",
        ),
        Value(
            "Houseboat",
            ("for a houseboat", "for living on the water"),
            ("for our home on the canal", "for a houseboat in Amsterdam"),
            "houseboat living",
        ),
        Value(
            "Gym",
            ("for a gym", "for the changing room of my sports club"),
            ("for sweaty people after a workout", "for the gym that I manage"),
            "gym operators",
        ),
    ),
    ranges=("Ripple", "Lagoon", "Oasis"),
    titles=(
        "{brand} {model} {type}, {size}, {material}, {colour}, {range}",
        "{range} {type} {model} by {brand} in {colour} {material}, {size}",
        "{brand} {size} {type} | {colour} {material} | {range}",
    ),
    descriptions=(
        "Refresh your routine with {this} in {colour} {material}, with {feature} and {feature2}. Proportions: "
        "{size}. Engineered for {use}. {range} suite. {blurb}",
        "{blurb} Completing our {range} suite: {this} by {brand}, {material}, {colour}, {feature}. {size} "
        "proportions, a sound answer to {use}.",
        "Order from chaos: {this} has {feature} and {feature2}. Material: {material}. Glaze: {colour}. "
        "Proportions: {size}. {range} suite, specified for {use}.",
    ),
    blurbs=(
        "Resists moisture, limescale and time.",
        "Fittings and instructions are in the box.",
        "Matches the rest of the suite perfectly.",
        "Clean lines that calm the eye.",
        "Rust-free promise for a decade.",
    ),
    types=(
        ProductType(
            name="Laundry Hamper",
            materials=("Seagrass", "Bamboo", "Cotton", "Rattan"),
            uses=("Hotel", "Nursery", "Houseboat", "Gym"),
            prices=(18, 32, 70, 170),
            features=("a removable liner", "rope handles", "a sorting divider", "a ventilated weave"),
            complements=("Shower Caddy", "Towel Rail"),
            needs=(
                "something | to throw dirty socks into",
                "a basket with a lid | for worn clothes",
                "something | that hides dirty shirts until washday",
                "hide dirty clothes until washday",
                "get worn socks and shirts off the floor",
                "collect dirty clothes and carry them to the machine",
            ),
            unseen=(
                "a bin | for used underwear",
                "keep smelly sports kit out of sight",
                "separate whites from coloureds before the wash",
            ),
        ),
        ProductType(
            name="Shower Caddy",
            materials=("Chrome", "Stainless Steel", "Bamboo", "Acrylic"),
            uses=("Hotel", "Mobility", "Houseboat", "Gym"),
            prices=(11, 21, 48, 120),
            features=("drill-free mounting", "drainage slots", "razor hooks", "a swivel arm"),
            complements=("Bath Mat", "Vanity Mirror"),
            needs=(
                "something | to put shampoo bottles on",
                "a hanging shelf | for soap and shampoo",
                "something | that gets the shampoo bottles off the floor",
                "have shampoo and soap within reach when I wash",
                "stop bottles of shampoo from falling over while I wash",
                "keep soap dry between washes",
            ),
            unseen=(
                "a perch | for gels and sponges",
                "tidy up a herd of shampoo bottles",
                "reach the conditioner without opening my eyes",
            ),
        ),
        ProductType(
            name="Vanity Mirror",
            materials=("Chrome", "Brass", "Bamboo", "Acrylic"),
            uses=("Hotel", "Mobility", "Houseboat", "Gym"),
            prices=(14, 28, 65, 190),
            features=("a dimmable light ring", "fivefold magnification", "a tilting neck", "an anti-fog coating"),
            complements=("Shower Caddy", "Towel Rail"),
            needs=(
                "something | to see my face in when I shave",
                "a looking glass | for doing my make-up",
                "something | that shows my face much bigger",
                "see every whisker when I shave",
                "put on make-up and see what I am doing",
                "pluck my eyebrows without guessing",
            ),
            unseen=(
                "a glass | that shows me wrinkles and all",
                "put in contact lenses without poking my eye",
                "check my teeth and my parting",
            ),
        ),
        ProductType(
            name="Bath Mat",
            materials=("Cotton", "Cork", "Bamboo", "Microfibre"),
            uses=("Hotel", "Mobility", "Nursery", "Houseboat", "Gym"),
            prices=(9, 17, 38, 95),
            features=("a grippy underside", "quick-dry loops", "bound edges", "thick tufts"),
            complements=("Towel Rail", "Laundry Hamper"),
            needs=(
                "something | to step on to with wet feet",
                "a little rug | for in front of the tub",
                "something | that stops me slipping on wet tiles",
                "step out of the tub without slipping",
                "keep the tiles dry when I get out of the tub",
                "spare my wet feet the cold tiles",
            ),
            unseen=(
                "a carpet | for dripping feet",
                "avoid a puddle in front of the shower",
                "avoid breaking my neck on slick tiles",
            ),
        ),
        ProductType(
            name="Towel Rail",
            materials=("Chrome", "Brass", "Stainless Steel", "Bamboo"),
            uses=("Hotel", "Mobility", "Houseboat", "Gym"),
            prices=(16, 30, 70, 200),
            features=("a triple-bar layout", "concealed screws", "a fold-flat hinge", "a thermostat valve"),
            complements=("Laundry Hamper", "Bath Mat"),
            needs=(
                "something | to hang wet cloths on to dry",
                "a bar on the wall | that damp linen dries on",
                "something | that warms up what I dry myself with",
                "hang up what I dry myself with",
                "get damp bathroom linen dry by the next morning",
                "stop wet linen from lying about in heaps",
            ),
        ),
    ),
)
