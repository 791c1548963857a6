"""Prompts read as sentences, whatever the recommender's query language."""

import pytest

from rec_gym.loop.prompts import SEARCH, in_a_sentence


@pytest.mark.parametrize(
    ("language", "phrase"),
    [
        ("bag of words", "treats the query as a bag of words."),
        ("natural language", "treats the query as natural language."),
        ("boolean", "treats the query as a Boolean expression."),
        ("any", "treats the query as plain text."),
        ("Lucene syntax", "treats the query as Lucene syntax."),
    ],
)
def test_the_query_language_reads_as_part_of_a_sentence(language, phrase):
    assert phrase in SEARCH.render({"request": "a red lamp", "query_language": in_a_sentence(language)})
