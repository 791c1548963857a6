"""Travel: things to pack, and to pack things in."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

TRAVEL = Department(
    name="Travel",
    colours=("Onyx", "Navy", "Olive", "Mustard", "Crimson", "Sand", "Cobalt", "Plum"),
    sizes=(
        Value(
            "Slim",
            ("slim", "thin enough to slide under a seat"),
            ("so thin that it takes up next to no space", "on the slim side"),
        ),
        Value("Regular", ("in a regular size", "of middling volume"), ("neither tiny nor huge", "of regular volume")),
        Value(
            "Spacious",
            ("spacious", "generous on the inside"),
            ("more generous than most", "on the spacious side"),
        ),
        Value(
            "Jumbo",
            ("in a jumbo size", "so big that everything goes in"),
            ("of elephantine volume", "in the jumbo format"),
        ),
    ),
    uses=(
        Value(
            "Business",
            ("for business trips", "for meetings with clients"),
            ("for calling on customers abroad", "for people who fly on business"),
            "seamless business days",
        ),
        Value(
            "Beach",
            ("for beach holidays", "for a week by the sea"),
            ("for lazy days on hot sand", "for life at the beach"),
            "carefree beach escapes",
        ),
        Value(
            "Commuting",
            ("for commuting", "for the train ride to work"),
            ("for the daily trip to the office and back", "for my commuting hours"),
            "smart commuting",
        ),
        Value(
            "Festival",
            ("for a music festival", "for days of open-air concerts"),
            ("for muddy fields and loud bands", "for my first festival"),
            "festival season",
        ),
        Value(
            "Student",
            ("for a student", "for my first year at college"),
            ("for somebody who is off to university", "for the student in our family"),
            "student life",
        ),
    ),
    ranges=("Depot", "Terminal", "Concierge"),
    titles=(
        "{brand} {model} {type} - {size} - {colour} {material} ({range})",
        "{type} {model} by {brand}, {range}, {material}, {colour}, {size} format",
        "{brand} {range} {size} {type} in {colour} {material}",
    ),
    descriptions=(
        "Go further with {this} in {colour} {material}. You get {feature}, {feature2} and room to spare; "
        "{size} format. Built for {use}. {range} line. {blurb}",
        "{blurb} Part of the {range} line, {this} combines {material} in {colour} with {feature}. {size} "
        "volume, planned around {use}.",
        "Ready when you are: {this} by {brand} with {feature} and {feature2}. Shell: {material}. Shade: "
        "{colour}. Volume: {size}. {range} pick for {use}.",
    ),
    blurbs=(
        "Every seam is checked twice before departure.",
        "Lightweight where it counts and tough where it matters.",
        "Approved by our crew after years of layovers.",
        "Comes with a five-year worldwide warranty.",
        "Designed to look as fresh on arrival as at check-in.",
    ),
    types=(
        ProductType(
            name="Backpack",
            materials=("Canvas", "Nylon", "Leather", "Polyester"),
            uses=("Commuting", "Festival", "Student", "Business"),
            prices=(22, 38, 85, 220),
            features=("padded shoulder straps", "a ventilated rear panel", "a hidden inner pocket", "a chest buckle"),
            complements=("Toiletry Pouch", "Duffel"),
            needs=(
                "something | I can wear on both shoulders",
                "a rucksack | that leaves my hands free",
                "something | to haul my laptop around in on my shoulders",
                "keep both hands free while I walk",
                "carry books without hurting my spine",
                "cycle with my laptop and lunch on my shoulders",
            ),
            unseen=(
                "a knapsack | for someone with a bad spine",
                "have my things behind me as I stroll",
                "spread the load evenly over both shoulders",
            ),
        ),
        ProductType(
            name="Suitcase",
            materials=("Polycarbonate", "Aluminium", "Canvas", "Leather"),
            uses=("Business", "Beach", "Student"),
            prices=(45, 80, 160, 420),
            features=("silent spinner wheels", "a telescopic pull bar", "a combination lock", "compression dividers"),
            complements=("Toiletry Pouch", "Garment Cover"),
            needs=(
                "something on wheels | for my clothes when I fly",
                "a trolley | that survives airport staff",
                "luggage | that rolls smoothly and locks",
                "roll my clothes through the airport",
                "check in my clothes without worrying about damage",
                "fly with my shirts neatly folded and locked away",
            ),
            unseen=(
                "a hard box on castors | for aeroplanes",
                "drag my wardrobe along behind me",
                "put a lock on what I check in at the airport",
            ),
        ),
        ProductType(
            name="Duffel",
            materials=("Canvas", "Leather", "Nylon", "Polyester"),
            uses=("Beach", "Festival", "Student"),
            prices=(28, 45, 95, 260),
            features=("reinforced grab handles", "a wide zip mouth", "a wet pocket", "a detachable sling"),
            complements=("Toiletry Pouch", "Backpack"),
            needs=(
                "something soft | I can throw my gym clothes into",
                "a holdall | that squashes into a car boot",
                "a sports bag | that opens wide",
                "stuff my kit into one soft bag",
                "throw clothes in quickly and sling them over one shoulder",
                "take my training gear to the gym",
            ),
            unseen=(
                "a kitbag | like the ones that footballers have",
                "pack in two minutes without folding anything",
                "have one big soft bag for everything",
            ),
        ),
        ProductType(
            name="Toiletry Pouch",
            materials=("Canvas", "Leather", "Nylon", "Silicone"),
            uses=("Business", "Beach", "Festival", "Student"),
            prices=(8, 15, 34, 85),
            features=("a hanging hook", "a leakproof lining", "elastic bottle loops", "a mirrored flap"),
            complements=("Suitcase", "Duffel"),
            needs=(
                "something | to keep my toothbrush and razor in",
                "a wash bag | that hangs on a door",
                "something | for shampoo and creams on the road",
                "stop shampoo leaking on to my shirts",
                "keep my toothbrush away from my socks",
                "hang up my soap and creams in a strange bathroom",
            ),
            unseen=(
                "a little case | for make-up and deodorant",
                "get my cosmetics through security in one piece",
                "sort out my bathroom things when I am away",
            ),
        ),
        ProductType(
            name="Garment Cover",
            materials=("Nylon", "Canvas", "Polyester", "Leather"),
            uses=("Business", "Student", "Beach"),
            prices=(17, 30, 70, 180),
            features=("a full-length zip", "a sturdy hanger slot", "a breathable lining", "a shoe compartment"),
            complements=("Suitcase", "Toiletry Pouch"),
            needs=(
                "something | that keeps a suit smooth on a journey",
                "a carrier | for my evening dress",
                "something | to stop my best jacket from creasing",
                "arrive with an uncreased suit",
                "carry a long dress without folding it",
                "protect my dinner jacket in the car",
            ),
        ),
    ),
)
