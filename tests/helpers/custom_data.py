"""A loader of two requests on two items."""

import rec_gym


def load() -> rec_gym.Dataset:
    """Two requests on two items."""
    catalog = rec_gym.Catalog.from_columns({"item_id": ["a", "b"], "title": ["lamp", "rug"]})
    requests = [
        {"id": "1", "text": "light", "split": "train", "targets": ["a"]},
        {"id": "2", "text": "feet", "split": "test", "targets": ["b"]},
    ]
    return rec_gym.Dataset.from_requests(catalog, requests)
