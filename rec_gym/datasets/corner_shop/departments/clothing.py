"""Clothing: things to wear, indoors and out."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

CLOTHING = Department(
    name="Clothing",
    colours=("Navy", "Charcoal", "Blush", "Lavender", "Mustard", "Ivory", "Crimson", "Teal"),
    sizes=(
        Value("Small", ("in small", "cut for a slim, short person"), ("tiny enough for a jockey", "in a small cut")),
        Value(
            "Medium",
            ("in medium", "cut for somebody of average build"),
            ("right for a person in the middle", "in a medium cut"),
        ),
        Value("Large", ("in large", "cut for a tall, broad person"), ("right for a rugby player", "in a large cut")),
        Value(
            "Plus",
            ("in a plus size", "cut for a very big person"),
            ("generous enough for a sumo wrestler", "from the plus sizes"),
        ),
    ),
    uses=(
        Value(
            "Cycling",
            ("for cycling", "for long rides on a bike"),
            ("for pedalling through town", "for my cycling club"),
            "everyday cycling",
        ),
        Value(
            "Maternity",
            ("for maternity wear", "for the months before my baby comes"),
            ("for a growing bump", "for my maternity leave"),
            "maternity wear",
        ),
        Value(
            "Lounging",
            ("for lounging about", "for lazy days on the sofa"),
            ("for doing nothing at all", "for an afternoon of lounging"),
            "weekend lounging",
        ),
        Value(
            "Sailing",
            ("for sailing", "for trips on a boat"),
            ("for skippers and their mates", "for a sailing course"),
            "coastal sailing",
        ),
        Value(
            "Hospital",
            ("for a stay in hospital", "for nights on a ward"),
            ("for when I have my operation", "for two weeks in hospital"),
            "hospital comfort",
        ),
    ),
    ranges=("Market", "Avenue", "Atelier"),
    titles=(
        "{brand} {type} {model}, {colour} {material}, {size}, {range}",
        "{range} {type} by {brand}: {model}, {material}, {colour}, {size}",
        "{brand} {model} {size} {type} in {colour} {material} | {range}",
    ),
    descriptions=(
        "Slip into {this} in {colour} {material} with {feature} and {feature2}. Cut: {size}. Styled for {use}. "
        "From the {range} collection. {blurb}",
        "The {range} collection presents {this} by {brand}: {material} in {colour}, {feature}, {size} fit. Our "
        "stylists recommend it for {use}. {blurb}",
        "{blurb} Expect {feature} and {feature2} from {this}. Fabric: {material}. Tone: {colour}. Fit: {size}. "
        "{range} edit, curated for {use}.",
    ),
    blurbs=(
        "Pre-washed, so the fit stays true for years.",
        "Sewn in a family workshop that pays fair wages.",
        "An instant staple that flatters every silhouette.",
        "Free alterations at any of our counters.",
        "A modern cut with a nod to tradition.",
    ),
    types=(
        ProductType(
            name="Raincoat",
            materials=("Cotton", "Nylon", "Polyester", "Rubber"),
            uses=("Cycling", "Maternity", "Sailing"),
            prices=(32, 55, 120, 320),
            features=("taped seams", "a storm hood", "a two-way zip", "adjustable cuffs"),
            complements=("Sweater", "Leggings"),
            needs=(
                "something | that keeps me dry in a downpour",
                "a waterproof with a hood | for wet days",
                "something | to pull over my shirt when it pours",
                "walk through a shower without getting soaked",
                "stay dry when the weather turns nasty",
                "keep drizzle and wind off my shirt",
            ),
            unseen=(
                "a mac | for miserable weather",
                "come home with dry shoulders",
                "leave my umbrella behind on wet days",
            ),
        ),
        ProductType(
            name="Sweater",
            materials=("Merino", "Cashmere", "Cotton", "Fleece"),
            uses=("Maternity", "Lounging", "Sailing", "Cycling"),
            prices=(26, 48, 110, 300),
            features=("ribbed trims", "a relaxed neckline", "seamless shoulders", "elbow patches"),
            complements=("Leggings", "Raincoat"),
            needs=(
                "a jumper | that is not scratchy",
                "a pullover | for chilly evenings",
                "something knitted | to wear over a shirt",
                "keep my chest and arms warm indoors",
                "add a cosy layer over my shirt",
                "turn the heating down and still not shiver",
            ),
            unseen=(
                "a thick woolly | like the one that my grandfather wore",
                "warm up my upper body on cool nights",
                "put on something snug over a blouse",
            ),
        ),
        ProductType(
            name="Leggings",
            materials=("Cotton", "Merino", "Nylon", "Bamboo"),
            uses=("Cycling", "Maternity", "Lounging"),
            prices=(15, 28, 62, 150),
            features=("a high waistband", "four-way stretch", "flat seams", "a concealed key pocket"),
            complements=("Sweater", "Bathrobe"),
            needs=(
                "something stretchy | for yoga and pilates",
                "a pair of tight trousers | that stretch in every direction",
                "something close-fitting | to wear under a tunic",
                "bend and squat without my trousers splitting",
                "wear something tight and elastic at the gym",
                "keep my calves covered when I wear a short tunic",
            ),
            unseen=(
                "a pair of footless tights | that do not slide down",
                "do the splits in my yoga class in comfort",
                "cover my thighs with something elastic",
            ),
            plural=True,
        ),
        ProductType(
            name="Pyjamas",
            materials=("Cotton", "Silk", "Linen", "Bamboo"),
            uses=("Maternity", "Lounging", "Hospital"),
            prices=(18, 34, 80, 210),
            features=("a piped collar", "a drawstring waist", "covered buttons", "a breast pocket"),
            complements=("Bathrobe", "Leggings"),
            needs=(
                "something comfortable | to sleep in",
                "an outfit | to go to bed in",
                "nightwear | that does not twist around my legs",
                "spend my nights in something loose and soft",
                "sleep without overheating in an old T-shirt",
                "look decent when I open the door at night",
            ),
            unseen=(
                "a two-piece outfit | for slumber",
                "snooze in something with buttons",
                "drift off in soft trousers and a matching shirt",
            ),
            plural=True,
        ),
        ProductType(
            name="Bathrobe",
            materials=("Cotton", "Fleece", "Linen", "Bamboo"),
            uses=("Maternity", "Lounging", "Hospital"),
            prices=(24, 42, 95, 240),
            features=("a shawl collar", "deep pockets", "a tie belt", "turn-up sleeves"),
            complements=("Pyjamas", "Leggings"),
            needs=(
                "something warm | to put on after the shower",
                "a dressing gown | with a belt",
                "something | to wrap myself in when I get out of the tub",
                "dry off and keep warm after a shower",
                "walk from the shower to the kitchen decently",
                "cover up in the morning before I get dressed",
            ),
        ),
    ),
)
