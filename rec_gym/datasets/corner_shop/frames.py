"""The sentences that shoppers build around a need and its wishes.

`{np}` is a noun phrase (`something made of copper to do eggs and bacon in`), `{vp}` a verb phrase (`flip pancakes`);
`{with}` is a wish with a space before it, or nothing, and `{with_or}` the same or " for that"; `{x}` is one or more
predicates (`made of copper and in teal`), `{n}` a sum of money. There are two sets of frames: one for `ood-phrasing`,
and one for all other splits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frames:
    """One set of sentences.

    Attributes:
        nouns: first sentences around a noun phrase.
        verbs: first sentences around a verb phrase.
        musts: sentences of a hard constraint.
        wishes: sentences of a soft wish.
        uses: sentences of a purpose; `{x}` begins with "for".
        limits: sentences of the highest price.
        floors: sentences of the lowest price.
        fragment: the noun phrase of a request without sentences.
        must_fragments: hard constraints after it, between commas.
        wish_fragments: soft wishes after it.
        limit_tags: the highest price as a predicate.
        floor_tags: the lowest price as a predicate.
        sums: how a sum of money is written; `{d}` in digits, `{w}` in words.
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    musts: tuple[str, ...]
    wishes: tuple[str, ...]
    uses: tuple[str, ...]
    limits: tuple[str, ...]
    floors: tuple[str, ...]
    fragment: str
    must_fragments: tuple[str, ...]
    wish_fragments: tuple[str, ...]
    limit_tags: tuple[str, ...]
    floor_tags: tuple[str, ...]
    sums: tuple[str, ...] = ("${d}", "{d} dollars", "{w} dollars", "{d} bucks", "{w} bucks")


SEEN = Frames(
    nouns=(
        "I need {np}.",
        "I am looking for {np}.",
        "Do you have {np}?",
        "Can you recommend {np}?",
        "I would like to buy {np}.",
        "Please show me {np}.",
    ),
    verbs=(
        "I want to {vp}. What do you have{with_or}?",
        "I would like to {vp}. Please suggest something{with_or}.",
        "What should I buy to {vp}? Show me something{with_or}.",
        "How can I {vp}? You must have something{with_or}.",
        "Which product{with} would help me {vp}?",
    ),
    musts=("It must be {x}.", "It has to be {x}.", "It absolutely needs to be {x}."),
    wishes=(
        "Ideally it would be {x}.",
        "If possible, it should be {x}.",
        "I would prefer it to be {x}.",
        "It would be lovely if it were {x}.",
    ),
    uses=("It is {x}.", "I need it {x}.", "It should be good {x}."),
    limits=(
        "I cannot spend more than {n}.",
        "My budget is {n}.",
        "It must cost less than {n}.",
        "Not more than {n}, please.",
    ),
    floors=("It should cost {n} or more.", "Nothing cheaper than {n}, please.", "I am happy to pay {n} or more."),
    fragment="{np}",
    must_fragments=("must be {x}", "has to be {x}"),
    wish_fragments=("ideally {x}", "preferably {x}"),
    limit_tags=("under {n}", "below {n}", "for less than {n}", "for not more than {n}"),
    floor_tags=("over {n}", "for at least {n}", "for {n} or more"),
)

UNSEEN = Frames(
    nouns=(
        "Does anyone know where I could find {np}?",
        "I have been searching everywhere for {np}.",
        "Point me to {np}.",
        "My old one is broken, so I am after {np}.",
    ),
    verbs=(
        "It is high time for me to {vp}, so fetch me something{with_or}.",
        "These days I often try to {vp}, alas with no luck. Is there anything{with_or}?",
        "If only I could {vp}! Could anything{with} be of service?",
        "Be so kind and advise me: I hope to {vp}. Anything{with_or} would do.",
    ),
    musts=(
        "I will only take it if it is {x}.",
        "One condition: it is {x}.",
        "Anything that is not {x} is useless to me.",
    ),
    wishes=("Bonus points if it is {x}.", "One {x} would make me happy.", "I have set my heart on one {x}."),
    uses=("You see, it is meant {x}.", "I am getting it {x}."),
    limits=(
        "I have {n} in my purse and not a cent more.",
        "Anything above {n} is too dear for me.",
        "My limit stands at {n}.",
    ),
    floors=(
        "Quality matters to me: nothing below {n}.",
        "Start at {n} and go upwards.",
        "I distrust things that sell for under {n}.",
    ),
    fragment="wanted: {np}",
    must_fragments=("only if {x}", "strictly {x}"),
    wish_fragments=("hopefully {x}", "with luck {x}"),
    limit_tags=("at {n} or less", "worth {n} at the very most"),
    floor_tags=("from {n} upwards", "worth {n} and up"),
)

# How people really misspell; other words lose or gain a letter by rule.
MISSPELLINGS = {
    "absolutely": "absolutly", "aching": "akeing", "animal": "animel", "anything": "anythink", "beautiful": "beatiful",
    "because": "becuase", "beige": "biege", "breakfast": "brekfast", "business": "buisness", "budget": "buget",
    "certificates": "certificats", "clothes": "cloths", "coffee": "cofee", "collar": "coller", "colour": "coulor",
    "comfortable": "confortable", "comfortably": "comfortbly", "definitely": "definately", "dollars": "dolars",
    "favourite": "favorit", "friends": "freinds", "forty": "fourty", "holiday": "hollyday", "insects": "insecs",
    "kitchen": "kichen", "leather": "lether", "lightweight": "lightwieght", "looking": "loking", "luggage": "lugage",
    "material": "materiel", "natural": "naturel", "necessary": "neccessary", "ninety": "ninty", "outdoors": "outdors",
    "people": "peaple", "picture": "pitcure", "pictures": "pitcures", "possible": "possable", "prefer": "preffer",
    "preferably": "preferrably", "purple": "purpel", "receive": "recieve", "recommend": "recomend",
    "separate": "seperate", "shampoo": "shampo", "sheep's": "sheeps", "should": "shoud", "shoulders": "sholders",
    "something": "somthing", "sweater": "sweatter", "synthetic": "sinthetic", "temperature": "temprature",
    "waterproof": "waterprof", "weather": "wether", "wedding": "weding", "weekend": "weekand",
    "without": "witout", "yellow": "yelow",
}  # fmt: skip
