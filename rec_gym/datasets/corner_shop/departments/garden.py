"""Garden: things for growing, watering and sitting outside."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

GARDEN = Department(
    name="Garden",
    colours=("Olive", "Sage", "Charcoal", "Cobalt", "Tangerine", "Sand", "Ivory", "Teal"),
    sizes=(
        Value(
            "Petite",
            ("petite", "compact enough to lift with one hand"),
            ("tiny, since I am short of space", "on the petite side"),
        ),
        Value(
            "Standard",
            ("in a standard size", "of the usual dimensions"),
            ("just as big as what my neighbours have", "of standard bulk"),
        ),
        Value("Ample", ("ample", "bigger than average"), ("of more than normal bulk", "on the ample side")),
        Value("Colossal", ("colossal", "as huge as they come"), ("of gigantic proportions", "of colossal bulk")),
    ),
    uses=(
        Value(
            "Coastal",
            ("for a coastal garden", "for salty wind from the sea"),
            ("for a plot behind the dunes", "for coastal storms"),
            "coastal plots",
        ),
        Value(
            "Frostproof",
            ("for a frostproof corner", "for leaving outside all winter"),
            ("for minus twenty degrees", "for frostproof borders"),
            "frostproof planting schemes",
        ),
        Value(
            "Allotment",
            ("for my allotment", "for a rented vegetable plot"),
            ("for the patch that the council lets to me", "for an allotment by the railway"),
            "allotment holders",
        ),
        Value(
            "School",
            ("for a school", "for a class of young gardeners"),
            ("for pupils and their teacher", "for the yard of our village school"),
            "school projects",
        ),
        Value(
            "Rooftop",
            ("for a rooftop", "for the flat top of my building"),
            ("for a terrace high above the street", "for my rooftop in town"),
            "rooftop oases",
        ),
    ),
    ranges=("Seedling", "Orchard", "Conservatory"),
    titles=(
        "{brand} {model} {type}, {size}, {colour} {material}, {range}",
        "{range} {type} {model} by {brand} - {colour} - {material} - {size}",
        "{brand} {range} {type} in {colour} {material}, {size} scale",
    ),
    descriptions=(
        "Open the season with {this} in {colour} {material}. Thanks to {feature} and {feature2} it earns its "
        "place. {size} scale, suited to {use}. {range} series. {blurb}",
        "{blurb} {brand} presents {this}: {material}, {colour}, {feature}. {size} scale. Another {range} "
        "classic for {use}.",
        "Rely on {this} with {feature} and {feature2}. Body: {material}. Colourway: {colour}. Scale: {size}. "
        "From the {range} series, with {use} in mind.",
    ),
    blurbs=(
        "Weatherproof, repairable and recyclable.",
        "Trusted by head gardeners up and down the country.",
        "Spare parts are stocked for fifteen years.",
        "Looks better with every passing year.",
        "Arrives ready to use, with a care booklet.",
    ),
    types=(
        ProductType(
            name="Planter",
            materials=("Terracotta", "Zinc", "Concrete", "Resin"),
            uses=("Coastal", "Frostproof", "School", "Rooftop"),
            prices=(12, 22, 55, 170),
            features=("pre-drilled drainage", "a removable saucer", "a rolled rim", "a root-friendly interior"),
            complements=("Sprinkler", "Composter"),
            needs=(
                "something | to grow tomatoes in",
                "a container | for geraniums and herbs",
                "a big tub with holes in the bottom | for an olive tree",
                "grow basil and strawberries without a flower bed",
                "keep a lemon tree outside the door",
                "have geraniums on a paved surface",
            ),
            unseen=(
                "a box | to put lavender and soil in",
                "raise chillies from seed in a tub",
                "give my fig tree a bigger home",
            ),
        ),
        ProductType(
            name="Parasol",
            materials=("Teak", "Aluminium", "Bamboo", "Canvas"),
            uses=("Coastal", "School", "Rooftop"),
            prices=(38, 70, 150, 420),
            features=("a crank mechanism", "a tilting joint", "a wind vent", "eight sturdy ribs"),
            complements=("Fire Pit", "Planter"),
            needs=(
                "something | to sit under when the sun burns",
                "a big umbrella | for the lunch table",
                "something | that gives me shade at noon",
                "eat outside without getting sunburnt",
                "sit in the shade at noon",
                "protect my baby's skin from the sun",
            ),
            unseen=(
                "a sunshade | for pale people",
                "read in the open without squinting",
                "block ultraviolet rays at lunch",
            ),
        ),
        ProductType(
            name="Fire Pit",
            materials=("Cast Iron", "Stainless Steel", "Copper", "Concrete"),
            uses=("Coastal", "Frostproof", "Rooftop"),
            prices=(45, 80, 180, 520),
            features=("a spark guard", "a lift-out ash pan", "a log grate", "a windproof bowl"),
            complements=("Parasol", "Planter"),
            needs=(
                "something | to burn logs in when we sit outside at night",
                "a brazier | for chilly evenings outdoors",
                "something | that keeps us warm around the outdoor table",
                "toast marshmallows outside with the neighbours",
                "burn logs safely on the terrace",
                "sit outside until midnight without freezing",
            ),
            unseen=(
                "a bowl | for flames and embers",
                "have a blaze to gather around after dark",
                "warm my hands outdoors in October",
            ),
        ),
        ProductType(
            name="Sprinkler",
            materials=("Brass", "Plastic", "Zinc", "Aluminium"),
            uses=("Coastal", "Allotment", "School"),
            prices=(9, 17, 40, 110),
            features=(
                "an oscillating arm",
                "an adjustable spray arc",
                "a click-fit connector",
                "rubber-tipped nozzles",
            ),
            complements=("Planter", "Composter"),
            needs=(
                "something | that waters the lawn by itself",
                "a gadget | to spread water over the grass",
                "something | for my dry lawn",
                "water the lawn without standing there with a hose",
                "keep the grass green in a dry July",
                "irrigate my vegetable beds while I am away",
            ),
            unseen=(
                "a device | that makes artificial rain",
                "soak thirsty flower beds evenly",
                "save my turf from turning brown",
            ),
        ),
        ProductType(
            name="Composter",
            materials=("Plastic", "Teak", "Zinc", "Pine"),
            uses=("Allotment", "School", "Frostproof"),
            prices=(24, 42, 95, 250),
            features=("a hinged hatch", "side ventilation slits", "a rodent mesh floor", "a tumbling axle"),
            complements=("Planter", "Sprinkler"),
            needs=(
                "something | to throw potato peelings and leaves into",
                "a bin | that turns scraps into soil",
                "something | for rotting down grass cuttings",
                "turn kitchen scraps into rich soil",
                "get rid of leaves and peelings naturally",
                "make my own fertiliser from apple cores",
            ),
        ),
    ),
)
