"""Furniture: things to sit on, work at and put things on."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

FURNITURE = Department(
    name="Furniture",
    colours=("Ivory", "Charcoal", "Sage", "Navy", "Mustard", "Onyx", "Chestnut", "Plum"),
    sizes=(
        Value("Narrow", ("narrow", "slim enough for a tight corner"), ("as slim as can be", "on the narrow side")),
        Value(
            "Compact",
            ("compact", "modest enough for a little flat"),
            ("right for a room of twelve square metres", "on the compact side"),
        ),
        Value(
            "Wide", ("wide", "broader than usual"), ("a good deal broader than the ordinary kind", "on the wide side")
        ),
        Value(
            "Grand", ("grand", "imposing enough for a big hall"), ("huge enough for a manor house", "on the grand side")
        ),
    ),
    uses=(
        Value(
            "Rental",
            ("for a rental flat", "for people who move house every year"),
            ("for somebody who never stays long", "for my rental"),
            "rental living",
        ),
        Value(
            "Childproof",
            ("for a childproof home", "for a house full of toddlers"),
            ("for parents of little climbers", "for a childproof living room"),
            "childproof homes",
        ),
        Value(
            "Accessible",
            ("for an accessible home", "for a grandmother with stiff joints"),
            ("for someone who uses a wheelchair", "for a flat that has to be accessible"),
            "accessible interiors",
        ),
        Value(
            "Homestay",
            ("for a homestay", "for rooms that I let to tourists"),
            ("for the people who book my spare room", "for my homestay business"),
            "homestay hosts",
        ),
        Value(
            "Boutique",
            ("for my boutique", "for a little shop"),
            ("for the place where I sell dresses", "for a boutique in the old town"),
            "boutique displays",
        ),
    ),
    ranges=("Workshop", "Gallery", "Museum"),
    titles=(
        "{brand} {model} {type}, {material}, {colour} finish, {size}, {range}",
        "{range} {type} {model} by {brand} in {colour} {material} ({size})",
        "{brand} {size} {type} - {colour} {material} - {range}",
    ),
    descriptions=(
        "Live better with {this}: {material} finished in {colour}, with {feature} and {feature2}. Footprint: "
        "{size}. Conceived for {use}. {range} series. {blurb}",
        "{blurb} The {range} series by {brand} continues with {this}, made from {material} in {colour} with "
        "{feature}. {size} footprint, a natural choice for {use}.",
        "Make room for {this}. Expect {feature} and {feature2}. Frame: {material}. Finish: {colour}. "
        "Footprint: {size}. {range} series, planned for {use}.",
    ),
    blurbs=(
        "Delivered flat or assembled, as you prefer.",
        "Timeless lines that outlive every trend.",
        "Sourced from responsibly managed suppliers.",
        "Award-winning joinery, visible from all sides.",
        "Assembly takes two people and one afternoon.",
    ),
    types=(
        ProductType(
            name="Bookcase",
            materials=("Oak", "Walnut", "Pine", "Birch"),
            uses=("Rental", "Childproof", "Homestay", "Boutique"),
            prices=(70, 120, 260, 700),
            features=("adjustable tiers", "a wall-fixing kit", "a recessed plinth", "concealed fittings"),
            complements=("Armchair", "Sideboard"),
            needs=(
                "something with shelves | for my novels",
                "a set of shelves | for a big collection of paperbacks",
                "a tall piece | for all my comics and dictionaries",
                "get my novels off the floor",
                "sort my paperbacks by author against the wall",
                "show off my collection of comics and encyclopaedias",
            ),
            unseen=(
                "something | to house my private library in",
                "stack my reading matter neatly to the ceiling",
                "line up my Agatha Christies",
            ),
        ),
        ProductType(
            name="Armchair",
            materials=("Leather", "Rattan", "Walnut", "Suede"),
            uses=("Accessible", "Homestay", "Boutique", "Childproof"),
            prices=(110, 180, 380, 990),
            features=("a high backrest", "a deep seat", "turned legs", "a lumbar roll"),
            complements=("Bookcase", "Sideboard"),
            needs=(
                "something comfortable | to sit and read in",
                "an easy seat | to sink into after dinner",
                "a cosy seat for one | next to the fire",
                "sit comfortably by the fire with a newspaper",
                "sink into something soft with a glass of wine",
                "nod off in front of the television with my feet up",
            ),
            unseen=(
                "a recliner | for dozing",
                "rest my elbows and my back at once",
                "have a throne of my own in the living room",
            ),
        ),
        ProductType(
            name="Writing Desk",
            materials=("Oak", "Walnut", "Pine", "Bamboo"),
            uses=("Rental", "Accessible", "Homestay"),
            prices=(80, 140, 300, 780),
            features=("a cable tray", "dovetailed drawers", "a blotter inlay", "tapered legs"),
            complements=("Armchair", "Bookcase"),
            needs=(
                "something | to put my laptop on when I work from home",
                "a table | for homework",
                "a table with drawers | for paperwork and the computer",
                "work from home without using the kitchen table",
                "do my homework and my accounts in peace",
                "set up two screens and a keyboard",
            ),
            unseen=(
                "a bureau | for my correspondence",
                "stop balancing my computer on my knees",
                "give my teenager a place to study",
            ),
        ),
        ProductType(
            name="Sideboard",
            materials=("Oak", "Walnut", "Rattan", "Birch"),
            uses=("Rental", "Childproof", "Homestay", "Boutique"),
            prices=(120, 200, 420, 1100),
            features=("soft-close doors", "felt-lined drawers", "removable dividers", "a bevelled top"),
            complements=("Bookcase", "Writing Desk"),
            needs=(
                "a low cupboard | for plates and tablecloths",
                "something | to hide the good china and candles in",
                "a credenza | for the dining room",
                "put away plates and tablecloths near the dinner table",
                "hide board games and candles behind doors",
                "put lamps on a low surface with storage below",
            ),
            unseen=(
                "a chest with doors | for crockery",
                "stow napkins and cutlery in the dining room",
                "keep the dinner service within reach of the table",
            ),
        ),
        ProductType(
            name="Coat Rack",
            materials=("Oak", "Pine", "Birch", "Brass"),
            uses=("Rental", "Childproof", "Accessible", "Boutique"),
            prices=(26, 45, 100, 260),
            features=("rounded pegs", "a weighted base", "an umbrella ring", "a hat shelf"),
            complements=("Sideboard", "Bookcase"),
            needs=(
                "something | to hang jackets on by the front door",
                "a stand with hooks | for the hallway",
                "something with hooks | for hats and scarves",
                "get the jackets off the banister",
                "hang up everyone's outdoor things in the hallway",
                "stop visitors piling their jackets on my bed",
            ),
        ),
    ),
)
