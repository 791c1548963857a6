"""Pets: things for animals at home."""

from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

PETS = Department(
    name="Pets",
    colours=("Crimson", "Cobalt", "Charcoal", "Sand", "Blush", "Teal", "Tangerine", "Lavender"),
    sizes=(
        Value(
            "Mini",
            ("in mini size", "right for a really tiny animal"),
            ("right for an animal that fits in a handbag", "in the mini format"),
        ),
        Value(
            "Midi",
            ("in midi size", "right for an animal of modest build"),
            ("right for an animal of average weight for its kind", "in the midi format"),
        ),
        Value(
            "Maxi",
            ("in maxi size", "right for a rather big animal"),
            ("right for an animal that is bigger than most", "in the maxi format"),
        ),
        Value(
            "Giant",
            ("in giant size", "right for an enormous animal"),
            ("right for a real monster of an animal", "in the giant format"),
        ),
    ),
    uses=(
        Value(
            "Senior",
            ("for a senior animal", "for an old animal with weak joints"),
            ("for an animal that has gone grey around the nose", "for a senior of fourteen"),
            "senior companions",
        ),
        Value(
            "Anxious",
            ("for an anxious animal", "for an animal that is easily frightened"),
            ("for an animal that trembles at every noise", "for an anxious soul"),
            "anxious characters",
        ),
        Value(
            "Rescue",
            ("for a rescue animal", "for an animal that I took in from a shelter"),
            ("for a stray that I have adopted", "for a rescue with a sad past"),
            "rescue homes",
        ),
        Value(
            "Boarding",
            ("for boarding kennels", "for an animal that stays with strangers while I am away"),
            ("for the weeks when my sister looks after it", "for three weeks of boarding"),
            "boarding stays",
        ),
        Value(
            "Show",
            ("for a show animal", "for an animal that competes for prizes"),
            ("for a champion that struts before the judges", "for the next show"),
            "show champions",
        ),
    ),
    ranges=("Buddy", "Fellow", "Majesty"),
    titles=(
        "{brand} {model} {type}, {size}, {colour} {material}, {range}",
        "{range} {type} by {brand}, {model}, {material}, {colour}, {size}",
        "{brand} {range} {type} in {colour} {material} - {size}",
    ),
    descriptions=(
        "Spoil your best friend with {this}: {material} in {colour}, {feature} and {feature2}. Grade: {size}. "
        "Developed for {use}. {range} tier. {blurb}",
        "{blurb} In our {range} tier, {brand} gives {this} sturdy {material} construction in {colour} with "
        "{feature}. {size} grade, kind to {use}.",
        "Count on {this} for {feature} and {feature2}. Build: {material}. Tint: {colour}. Grade: {size}. "
        "{range} tier, advised for {use}.",
    ),
    blurbs=(
        "Vet approved and tail-wag tested.",
        "Easy to rinse, hard to chew through.",
        "Tried out by our office companions.",
        "Non-toxic from the core to the label.",
        "A happy home starts with good gear.",
    ),
    types=(
        ProductType(
            name="Harness",
            materials=("Nylon", "Leather", "Mesh", "Cotton"),
            uses=("Senior", "Anxious", "Rescue", "Show"),
            prices=(11, 22, 48, 120),
            features=("reflective webbing", "a chest ring", "quick-release clips", "a padded girth"),
            complements=("Slow Feeder", "Grooming Brush"),
            needs=(
                "something | to clip the lead to that does not choke my dog",
                "a little vest | to use instead of a collar",
                "something | that stops my dog from pulling",
                "walk my dog without choking him",
                "stop my dog from slipping out of his collar",
                "keep hold of a dog that pulls",
            ),
            unseen=(
                "a body strap | for a dog with a delicate neck",
                "take the pressure off my dog's throat on walks",
                "control a strong dog in the street",
            ),
        ),
        ProductType(
            name="Transport Crate",
            materials=("Plastic", "Aluminium", "Rattan", "Canvas"),
            uses=("Senior", "Anxious", "Rescue", "Boarding", "Show"),
            prices=(24, 42, 95, 260),
            features=("a lockable grille", "a crash-rated frame", "a top-loading hatch", "ventilation on four sides"),
            complements=("Slow Feeder", "Harness"),
            needs=(
                "a cage | to take my cat to the vet in",
                "a carrier | that keeps a dog safe in the car",
                "something with a door | for taking the cat on a train",
                "take my cat to the vet without a fight",
                "drive with the dog safely in the boot",
                "fly with my cat under the seat",
            ),
            unseen=(
                "a kennel with a handle | for journeys",
                "stop the cat from roaming around the car",
                "move house with two nervous cats",
            ),
        ),
        ProductType(
            name="Slow Feeder",
            materials=("Silicone", "Ceramic", "Bamboo", "Stainless Steel"),
            uses=("Senior", "Anxious", "Rescue", "Boarding"),
            prices=(7, 14, 30, 75),
            features=("a maze of ridges", "a suction base", "rounded inner walls", "a spill-catching rim"),
            complements=("Harness", "Transport Crate"),
            needs=(
                "a bowl | that stops my dog from gulping",
                "a dish | for a dog that eats too fast",
                "a bowl with bumps | for a greedy eater",
                "stop my dog from gobbling his dinner",
                "make meals last longer for a greedy dog",
                "keep my dog from being sick after he eats",
            ),
            unseen=(
                "an obstacle course | for kibble",
                "make a dog chew instead of inhaling his food",
                "cure a hound of wolfing down his meat",
            ),
        ),
        ProductType(
            name="Scratching Post",
            materials=("Sisal", "Cardboard", "Plush", "Seagrass"),
            uses=("Senior", "Anxious", "Rescue", "Boarding"),
            prices=(14, 26, 60, 180),
            features=("a lookout platform", "a dangling pompom", "a wide stabilising foot", "replaceable sleeves"),
            complements=("Grooming Brush", "Transport Crate"),
            needs=(
                "something | that saves my sofa from the cat's claws",
                "a column | for a cat to sharpen her claws on",
                "a climbing tree | for cats that live indoors",
                "stop my cat from clawing the sofa",
                "let my cat sharpen her claws and climb",
                "save the wallpaper from the cat's claws",
            ),
            unseen=(
                "a pole | for feline manicures",
                "give the cat a legal target for her talons",
                "protect my curtains from a tomcat",
            ),
        ),
        ProductType(
            name="Grooming Brush",
            materials=("Bamboo", "Silicone", "Beech", "Plastic"),
            uses=("Senior", "Anxious", "Rescue", "Show"),
            prices=(6, 12, 26, 65),
            features=("rounded pins", "a self-cleaning button", "a cushioned pad", "a thumb rest"),
            complements=("Harness", "Scratching Post"),
            needs=(
                "something | to get loose hair off my dog",
                "a comb | for long fur",
                "something | against tangles in a dog's coat",
                "get rid of loose dog hair before it covers the carpet",
                "untangle long, matted fur",
                "keep a long-haired cat free of knots",
            ),
        ),
    ),
)
