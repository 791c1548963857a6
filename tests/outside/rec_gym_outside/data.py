"""What is asked: a loader."""

import rec_gym

NEEDS = {"chair": "somewhere to sit", "lamp": "light to read by", "rug": "warm feet", "desk": "a place to write"}


def load(requests: int = 80) -> rec_gym.Dataset:
    """Things in four colours, asked for in words that their titles lack."""
    colours = ["red", "blue", "green", "white"]
    titles = [f"{colour} {thing}" for thing in NEEDS for colour in colours]
    catalog = rec_gym.Catalog.from_columns({"item_id": [title.replace(" ", "-") for title in titles], "title": titles})
    things = list(NEEDS)
    rows = [
        {
            "id": f"r{number}",
            "text": f"{NEEDS[things[number % 4]]}, {number}",
            "split": "train" if number < requests * 0.7 else "test",
            "gains": {f"{colour}-{things[number % 4]}": 1.0 for colour in colours},
            "oracle": things[number % 4],
        }
        for number in range(requests)
    ]
    return rec_gym.Dataset.from_requests(catalog, rows)
