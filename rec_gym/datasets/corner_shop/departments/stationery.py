"""Stationery: things to write in, file with and frame."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

STATIONERY = Department(
    name="Stationery",
    colours=("Crimson", "Teal", "Mustard", "Blush", "Navy", "Sage", "Plum", "Chestnut"),
    sizes=(
        Value("A6", ("in A6", "as little as a postcard"), ("no bigger than the palm of my hand", "of A6 dimensions")),
        Value("A5", ("in A5", "about as big as a paperback"), ("half as big as a printed letter", "of A5 dimensions")),
        Value(
            "A4",
            ("in A4", "as big as a sheet of printer paper"),
            ("as tall as an ordinary magazine", "of A4 dimensions"),
        ),
        Value(
            "A3",
            ("in A3", "as big as two sheets of printer paper"),
            ("as large as an unfolded tabloid", "of A3 dimensions"),
        ),
    ),
    uses=(
        Value(
            "Wedding",
            ("for a wedding", "for a bride"),
            ("for two people who have just said yes", "for a June wedding"),
            "wedding memories",
        ),
        Value(
            "Graduation",
            ("for a graduation", "for someone who has just passed the final exams"),
            ("for my daughter in cap and gown", "for a graduation party"),
            "graduation day",
        ),
        Value(
            "Newborn",
            ("for the parents of a newborn", "for a baby's first year"),
            ("for a couple who have just become parents", "for my newborn grandson"),
            "newborn keepsakes",
        ),
        Value(
            "Retirement",
            ("for a retirement", "for a colleague who stops working"),
            ("for somebody's last day at the office", "for my father's retirement"),
            "retirement gifts",
        ),
        Value(
            "Genealogy",
            ("for genealogy", "for the history of my family"),
            ("for tracing my ancestors", "for a genealogy club"),
            "genealogy research",
        ),
    ),
    ranges=("Draft", "Scholar", "Laureate"),
    titles=(
        "{brand} {type} {model}, {size}, {material}, {colour}, {range}",
        "{range} {type} by {brand} in {colour} {material}, {size}, {model}",
        "{brand} {model} {size} {type} - {range} - {colour} {material}",
    ),
    descriptions=(
        "Keep what matters with {this} in {colour} {material}, complete with {feature} and {feature2}. Format "
        "{size}. A thoughtful pick for {use}. {range} edition. {blurb}",
        "{blurb} The {range} edition of {this} by {brand} brings together {material}, {colour} and {feature}. "
        "Format {size}, designed around {use}.",
        "Discover {this}: {feature}, {feature2}. Cover: {material}. Accent: {colour}. Format: {size}. {range} "
        "edition, made with {use} at heart.",
    ),
    blurbs=(
        "Acid-free throughout, so nothing yellows.",
        "Bound by hand in small batches.",
        "Presented in a slim gift box.",
        "A desk companion with quiet character.",
        "Refills are available all year round.",
    ),
    types=(
        ProductType(
            name="Journal",
            materials=("Leather", "Linen", "Kraft Paper", "Cork"),
            uses=("Wedding", "Graduation", "Newborn", "Retirement", "Genealogy"),
            prices=(6, 12, 28, 75),
            features=("numbered pages", "an elastic closure", "a ribbon marker", "fountain-pen-friendly sheets"),
            complements=("Weekly Planner", "Document Folder"),
            needs=(
                "a diary | for my private thoughts",
                "something with blank pages | to write in",
                "a notebook | that lies flat when it is open",
                "write down what I think before I go to sleep",
                "jot down memories by hand",
                "put my thoughts on paper every evening",
            ),
            unseen=(
                "a blank book | for secrets",
                "scribble down dreams and poems",
                "pour my heart out on lined sheets",
            ),
        ),
        ProductType(
            name="Photo Album",
            materials=("Leather", "Linen", "Felt", "Kraft Paper"),
            uses=("Wedding", "Graduation", "Newborn", "Retirement", "Genealogy"),
            prices=(11, 20, 48, 130),
            features=("interleaved tissue", "peel-and-stick leaves", "a window in the cover", "metal corner guards"),
            complements=("Picture Frame", "Journal"),
            needs=(
                "a book | to stick snapshots in",
                "something | to keep my holiday snaps in order",
                "a book | for pictures that I can leaf through",
                "stick my snapshots in a book",
                "leaf through old snaps in the evening",
                "get the pictures off my phone and on to pages",
            ),
            unseen=(
                "a book of pictures | for the coffee table",
                "rescue old Polaroids from a shoe box",
                "show visitors our best snaps page by page",
            ),
        ),
        ProductType(
            name="Document Folder",
            materials=("Leather", "Felt", "Plastic", "Kraft Paper"),
            uses=("Wedding", "Graduation", "Retirement", "Genealogy"),
            prices=(5, 11, 26, 70),
            features=("accordion gussets", "a snap fastener", "indexed tabs", "a card slot"),
            complements=("Weekly Planner", "Journal"),
            needs=(
                "something | to keep certificates and bills in",
                "a flat case | for loose papers",
                "something | that stops my papers from getting bent",
                "keep certificates and bills in order",
                "carry loose papers without bending them",
                "find my tax papers when I need them",
            ),
            unseen=(
                "a wallet | for contracts and deeds",
                "file away my insurance policies",
                "end the chaos of receipts in my drawer",
            ),
        ),
        ProductType(
            name="Weekly Planner",
            materials=("Leather", "Linen", "Cork", "Kraft Paper"),
            uses=("Wedding", "Graduation", "Newborn", "Retirement"),
            prices=(7, 14, 32, 80),
            features=("undated spreads", "perforated to-do strips", "habit trackers", "a year-at-a-glance page"),
            complements=("Journal", "Document Folder"),
            needs=(
                "something | to note my appointments in",
                "a calendar on paper | for meetings and deadlines",
                "an organiser | that shows seven days at once",
                "remember appointments and deadlines",
                "see all my meetings from Monday to Sunday",
                "organise my days on paper instead of on a screen",
            ),
            unseen=(
                "an agenda | for busy people",
                "be reminded of birthdays and dentists",
                "schedule my chores and errands by hand",
            ),
        ),
        ProductType(
            name="Picture Frame",
            materials=("Oak", "Walnut", "Brass", "Acrylic"),
            uses=("Wedding", "Graduation", "Newborn", "Retirement"),
            prices=(8, 16, 38, 110),
            features=("a fold-away strut", "museum-grade glazing", "a bevelled mount", "two hanging points"),
            complements=("Photo Album", "Journal"),
            needs=(
                "something | to put a portrait on the wall with",
                "a border with glass | for a drawing",
                "something | to display a certificate behind glass in",
                "hang a portrait over the fireplace",
                "display a child's drawing behind glass",
                "put my diploma up on the wall",
            ),
        ),
    ),
)
