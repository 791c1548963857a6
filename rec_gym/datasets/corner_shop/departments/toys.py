"""Toys: things to play with, by age."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

TOYS = Department(
    name="Toys",
    colours=("Crimson", "Cobalt", "Tangerine", "Mustard", "Lavender", "Blush", "Teal", "Sage"),
    sizes=(
        Value(
            "Toddler",
            ("right for a toddler", "right for a child who has just learned to walk"),
            ("right for an eighteen-month-old", "within a toddler's reach"),
        ),
        Value(
            "Preschool",
            ("right for a preschool child", "right for a four-year-old"),
            ("right for my niece in kindergarten", "at preschool level"),
        ),
        Value(
            "Junior",
            ("right for a junior", "right for an eight-year-old"),
            ("right for a pupil in the third year", "at junior level"),
        ),
        Value(
            "Teen",
            ("right for a teen", "right for a fourteen-year-old"),
            ("right for my grandson at secondary school", "at teen level"),
        ),
    ),
    uses=(
        Value(
            "Playgroup",
            ("for a playgroup", "for several children at once"),
            ("for a whole gang of cousins", "for the playgroup that I run"),
            "the playgroup",
        ),
        Value(
            "Birthday",
            ("for a birthday", "for someone who is turning a year older"),
            ("for a party with cake and candles", "for the birthday table"),
            "birthday surprises",
        ),
        Value(
            "Roadtrip",
            ("for a roadtrip", "for hours on the back seat"),
            ("for the drive to Grandma's", "for our roadtrip to Spain"),
            "any roadtrip",
        ),
        Value(
            "Therapy",
            ("for therapy", "for children with special needs"),
            ("for the young patients that I treat", "for my therapy room"),
            "therapy sessions",
        ),
        Value(
            "Bedtime",
            ("for bedtime", "for quiet moments before sleep"),
            ("for the last hour of the day", "for the struggle at bedtime"),
            "calm bedtime rituals",
        ),
    ),
    ranges=("Penny", "Carousel", "Wonderland"),
    titles=(
        "{brand} {type} {model}, {size}, {material}, {colour}, {range}",
        "{range} {type} by {brand}: {model}, {colour} {material}, {size}",
        "{brand} {model} {size} {type} in {colour} {material} ({range})",
    ),
    descriptions=(
        "Spark imagination with {this} in {colour} {material}, featuring {feature} and {feature2}. Age band: "
        "{size}. Wonderful for {use}. {range} collection. {blurb}",
        "{blurb} New in our {range} collection: {this} by {brand}, {material}, {colour}, with {feature}. Age "
        "band {size}, chosen for {use}.",
        "Big smiles guaranteed: choose {this} for {feature} and {feature2}. Material: {material}. Colour: "
        "{colour}. Age band: {size}. {range} pick for {use}.",
    ),
    blurbs=(
        "Safety tested and free of nasty chemicals.",
        "Makes learning feel like an adventure.",
        "Parents and reviewers give it five stars.",
        "Comes in a box that doubles as storage.",
        "Screen-free fun that lasts beyond the holidays.",
    ),
    types=(
        ProductType(
            name="Building Blocks",
            materials=("Beech", "Plastic", "Silicone", "Cardboard"),
            uses=("Playgroup", "Birthday", "Therapy"),
            prices=(11, 22, 50, 130),
            features=("interlocking studs", "bevelled corners", "a stacking guide", "a sorting crate"),
            complements=("Marble Run", "Jigsaw Puzzle"),
            needs=(
                "something | to make towers and castles with",
                "a heap of bricks | that fit together",
                "a construction toy | with lots of pieces",
                "make towers and knock them down",
                "put together castles and bridges piece by piece",
                "keep a future architect busy",
            ),
            unseen=(
                "a set of bricks | like the ones I had as a boy",
                "stack things up until they tumble",
                "raise a future engineer",
            ),
            plural=True,
        ),
        ProductType(
            name="Jigsaw Puzzle",
            materials=("Cardboard", "Beech", "Cork", "Felt"),
            uses=("Playgroup", "Birthday", "Therapy", "Bedtime"),
            prices=(7, 14, 32, 85),
            features=("a glare-free print", "precisely cut edges", "a linen-look face", "a reference poster"),
            complements=("Building Blocks", "Easel"),
            needs=(
                "a picture in many pieces | to put together",
                "a game for one | that trains the eye",
                "something with a thousand little pieces | to fit together",
                "fit little pieces together into a landscape",
                "put a picture together on the dining table",
                "train patience with a picture in bits",
            ),
            unseen=(
                "a cut-up picture | of a castle",
                "hunt for the corner pieces for hours",
                "find the one missing piece of the sky",
            ),
        ),
        ProductType(
            name="Marble Run",
            materials=("Beech", "Plastic", "Bamboo", "Cardboard"),
            uses=("Playgroup", "Birthday", "Therapy"),
            prices=(18, 32, 75, 190),
            features=("banked curves", "a spiral funnel", "modular towers", "a chime finish"),
            complements=("Building Blocks", "Jigsaw Puzzle"),
            needs=(
                "a track | that little balls roll down",
                "a ball track | with curves and drops",
                "something | to let little balls race down",
                "watch little balls roll down a winding track",
                "teach gravity with rolling balls",
                "race balls down slopes and through tunnels",
            ),
            unseen=(
                "a roller coaster | for tiny spheres",
                "see balls whizz round bends and drop",
                "explore how things speed up downhill",
            ),
        ),
        ProductType(
            name="Teddy Bear",
            materials=("Plush", "Wool", "Cotton", "Felt"),
            uses=("Birthday", "Roadtrip", "Therapy", "Bedtime"),
            prices=(10, 20, 48, 140),
            features=("embroidered eyes", "jointed limbs", "a velvet nose", "a satin ribbon"),
            complements=("Jigsaw Puzzle", "Building Blocks"),
            needs=(
                "a stuffed animal | to hug",
                "a cuddly toy | that comforts a child",
                "something furry with a friendly face | to cuddle",
                "comfort a child who is afraid of the dark",
                "give a child something furry to hug",
                "replace a beloved stuffed animal that got lost",
            ),
            unseen=(
                "a soft companion | with round ears",
                "dry a child's tears",
                "find a fluffy friend for a lonely child",
            ),
        ),
        ProductType(
            name="Easel",
            materials=("Beech", "Bamboo", "Plastic", "Cardboard"),
            uses=("Playgroup", "Birthday", "Therapy"),
            prices=(22, 38, 85, 210),
            features=("a paper-roll holder", "a double-sided board", "a chalk ledge", "height-adjustable legs"),
            complements=("Jigsaw Puzzle", "Building Blocks"),
            needs=(
                "something | to stand up at and paint",
                "a stand | that holds paper for young painters",
                "something | to draw on with chalk",
                "paint standing up like a real artist",
                "stop my child from drawing on the walls",
                "encourage a young artist to paint",
            ),
        ),
    ),
)
