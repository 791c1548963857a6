"""The embedded catalogues are those that their cards name."""

import rec_gym
from rec_gym.cards import card_of


def test_the_catalogue_is_bit_identical_to_the_cards(embedded_id):
    stated = card_of(embedded_id).content["catalog_sha256"]
    assert rec_gym.make_task(embedded_id).dataset.catalog.content_hash == stated


def test_the_sizes_are_those_of_the_card(embedded_id):
    dataset = rec_gym.make_task(embedded_id).dataset
    sizes = {"items": len(dataset.catalog)}
    unit = "users" if dataset.is_history else "requests"
    sizes |= {f"{split} {unit}": len(dataset.rows(split)) for split in dataset.splits}
    sizes["judgements"] = len(dataset.judged_items.values)
    stated = card_of(embedded_id).content["sizes"]
    assert stated == {name: sizes[name] for name in stated}
    assert "items" in stated
