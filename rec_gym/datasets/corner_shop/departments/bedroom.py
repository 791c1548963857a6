"""Bedroom: things to sleep on and under."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

BEDROOM = Department(
    name="Bedroom",
    colours=("Ivory", "Sand", "Sage", "Blush", "Lavender", "Charcoal", "Teal", "Navy"),
    sizes=(
        Value(
            "Single",
            ("in single", "for a narrow bed, one person wide"),
            ("right for a bed of 90 centimetres", "for a single bed"),
        ),
        Value(
            "Double",
            ("in double", "for an ordinary bed for two"),
            ("right for a bed of 140 centimetres", "for a double bed"),
        ),
        Value(
            "Queen",
            ("in queen size", "for a fairly wide bed for two"),
            ("right for a bed of 160 centimetres", "for a queen bed"),
        ),
        Value(
            "King",
            ("in king size", "for the widest bed there is"),
            ("right for a bed of 180 centimetres", "for a king bed"),
        ),
    ),
    uses=(
        Value(
            "Allergy",
            ("for someone with an allergy", "for people who sneeze because of dust"),
            ("for a household with asthma", "for my allergy"),
            "allergy relief",
        ),
        Value(
            "Cooling",
            ("for cooling down at night", "for someone who sweats in the dark"),
            ("for stuffy rooms in August", "for a cooling effect"),
            "natural cooling",
        ),
        Value(
            "Rheumatism",
            ("for rheumatism", "for stiff, painful joints"),
            ("for old bones", "for a mother with rheumatism"),
            "rheumatism sufferers",
        ),
        Value(
            "Guestroom",
            ("for our guestroom", "for the room where visitors sleep"),
            ("for when my in-laws stay over", "for a cheerful guestroom"),
            "a welcoming guestroom",
        ),
        Value(
            "Cottage",
            ("for a country cottage", "for our holiday house"),
            ("for a place by the lake", "for a cottage with a thatched roof"),
            "cottage retreats",
        ),
    ),
    ranges=("Doze", "Slumber", "Reverie"),
    titles=(
        "{brand} {model} {type}, {size}, {colour} {material}, {range}",
        "{range} {type} {model} by {brand} - {material} - {colour} - {size}",
        "{brand} {range} {type} in {colour} {material}, {size}",
    ),
    descriptions=(
        "Unwind with {this} in {colour} {material}, featuring {feature} and {feature2}. Format: {size}. "
        "Created for {use}. {range} line. {blurb}",
        "{blurb} From the {range} line by {brand}: {this}, {material} throughout, {colour}, with {feature}. "
        "{size} format, an asset for {use}.",
        "Treat yourself to {this} and enjoy {feature}. Filling and face: {material}. Hue: {colour}. "
        "Dimensions: {size}. {range} choice for {use}. {blurb}",
    ),
    blurbs=(
        "Certified free of harmful substances.",
        "Machine washable and quick to dry.",
        "Loved by our customers for its hotel feel.",
        "Wrapped in a reusable storage sack.",
        "Try it for thirty nights or send it back.",
    ),
    types=(
        ProductType(
            name="Duvet",
            materials=("Down", "Wool", "Silk", "Microfibre"),
            uses=("Allergy", "Cooling", "Rheumatism", "Guestroom"),
            prices=(35, 60, 140, 420),
            features=("box-stitched chambers", "piped edges", "corner loops", "a balanced tog rating"),
            complements=("Fitted Sheet", "Blanket"),
            needs=(
                "something fluffy | to sleep under",
                "a quilt | that is warm but light",
                "a light, puffy cover | for my bed",
                "sleep under something light and fluffy",
                "snuggle under a thick, puffy cover",
                "replace my old eiderdown",
            ),
            unseen=(
                "a continental quilt | as in a Swiss hotel",
                "disappear under a cloud at night",
                "stop fighting with several thin layers of bedding",
            ),
        ),
        ProductType(
            name="Mattress Topper",
            materials=("Down", "Wool", "Bamboo", "Microfibre"),
            uses=("Allergy", "Cooling", "Rheumatism", "Guestroom"),
            prices=(45, 75, 170, 480),
            features=(
                "elasticated corner straps",
                "pressure-relieving zones",
                "a quilted upper",
                "a non-slip underside",
            ),
            complements=("Fitted Sheet", "Duvet"),
            needs=(
                "something | to make my hard bed softer",
                "a padded layer | to lie on",
                "something | that hides the springs I can feel in my back",
                "make a hard bed softer without buying a new one",
                "stop feeling the springs in my back",
                "wake up without aching hips from my hard bed",
            ),
            unseen=(
                "an extra layer | on top of my lumpy futon",
                "rescue a bed that is as hard as a plank",
                "give my hips a softer place to lie",
            ),
        ),
        ProductType(
            name="Fitted Sheet",
            materials=("Cotton", "Linen", "Silk", "Bamboo"),
            uses=("Allergy", "Cooling", "Guestroom", "Cottage"),
            prices=(12, 24, 58, 160),
            features=("all-round elastic", "deep pockets", "a crisp percale weave", "fade-resistant dye"),
            complements=("Duvet", "Blanket"),
            needs=(
                "something | to lie on that stays put all night",
                "a bottom layer of bed linen | that does not come off",
                "bed linen with elastic corners | for under me",
                "stop my bed linen from coming off at the corners",
                "make the bed quickly every morning",
                "lie on something smooth that stays tucked in",
            ),
            unseen=(
                "bed linen | that hugs the corners",
                "make the bed without any tucking in",
                "toss and turn without uncovering the bare bed",
            ),
        ),
        ProductType(
            name="Blanket",
            materials=("Wool", "Cashmere", "Fleece", "Cotton"),
            uses=("Allergy", "Rheumatism", "Guestroom", "Cottage"),
            prices=(16, 32, 85, 260),
            features=("a fringed border", "a waffle texture", "whip-stitched edges", "a brushed nap"),
            complements=("Duvet", "Fitted Sheet"),
            needs=(
                "a throw | to put over my knees",
                "something warm | to cuddle up in on the sofa",
                "a warm wrap | for watching films",
                "keep my legs warm while I watch a film",
                "cuddle up on the sofa with a book",
                "cover a child who has fallen asleep on the sofa",
            ),
            unseen=(
                "a plaid | for my lap",
                "stay warm in front of the television",
                "lay something snug across my knees",
            ),
        ),
        ProductType(
            name="Mosquito Net",
            materials=("Cotton", "Polyester", "Mesh", "Linen"),
            uses=("Allergy", "Cooling", "Guestroom", "Cottage"),
            prices=(14, 26, 60, 150),
            features=("a ceiling hoop", "a weighted hem", "two overlapping entrances", "a fine weave"),
            complements=("Fitted Sheet", "Blanket"),
            needs=(
                "something | that keeps bugs away while I sleep",
                "a canopy | against insects",
                "something | to hang over my bed so that nothing bites me",
                "sleep without being bitten",
                "keep insects off my bed with the window open",
                "stop buzzing insects from reaching my face at night",
            ),
        ),
    ),
)
