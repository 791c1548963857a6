"""Action formats on what models really write, and on anything else."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rec_gym.loop.actions import ACTIONS, MAX_CHARS, Answer, Append, Plain, Structured, make_action, tags

# Any Unicode with control characters and lone surrogates, and pieces of the formats themselves.
any_text = st.text(st.characters(exclude_categories=()), max_size=200)
pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "```json", "```", '{"query": "x"}', "{", '"', "\n", "\0"])
    | any_text,
    max_size=8,
).map("".join)  # fmt: skip
FORMATS = [
    Plain(), Append(), Answer(), Answer(strict=True), Structured(), Structured(strict=True),
    Answer(think_opened=True, strict=True), Plain(max_chars=3),
]  # fmt: skip


@pytest.mark.parametrize("action", FORMATS, ids=repr)
@given(text=any_text | pieces, request=any_text)
@settings(max_examples=150, deadline=None)
def test_no_text_raises_and_every_parse_is_reported(action, text, request):
    parsed = action.parse(text, request)
    assert parsed.parse.isidentifier()
    assert parsed.ok == bool(parsed.query)
    assert len(parsed.query) <= action.max_chars


@pytest.mark.parametrize("action", FORMATS[:6], ids=repr)
@given(query=st.text(min_size=1, max_size=50).map(str.strip).filter(lambda q: q and not q.startswith("<think>")))
@settings(max_examples=100, deadline=None)
def test_compose_is_the_inverse_of_parse(action, query):
    parsed = action.parse(action.compose(query, "request"), "request")
    expected = f"request {query.removeprefix('request').strip()}".strip() if isinstance(action, Append) else query
    if "<answer>" not in query and "</answer>" not in query and "think>" not in query:
        assert (parsed.query, parsed.ok) == (expected, True)


@pytest.mark.parametrize(
    ("text", "word", "query"),
    [
        ("red lamp", "ok", "red lamp"),
        ("  red lamp\n", "ok", "red lamp"),
        ("<think>lamps?\n</think> red lamp", "think_removed", "red lamp"),
        ("red <think>lamp</think>", "ok", "red <think>lamp</think>"),
        ("", "empty", ""),
        (" \n", "empty", ""),
        ("<think>a</think>", "empty", ""),
        ("<think>for ever", "unclosed_think", ""),
    ],
)
def test_plain(text, word, query):
    parsed = Plain().parse(text, "request")
    assert (parsed.parse, parsed.query) == (word, query)


@pytest.mark.parametrize(
    ("text", "word", "query", "written"),
    [
        ("lamp", "ok", "light please lamp", "lamp"),
        ("", "nothing_added", "light please", ""),
        ("<think>x</think>lamp", "think_removed", "light please lamp", "lamp"),
        ("<think>x", "unclosed_think", "", ""),
    ],
)
def test_append(text, word, query, written):
    parsed = Append().parse(text, "light please")
    assert (parsed.parse, parsed.query, parsed.written) == (word, query, written)


JSON = '{"query": "red lamp"}'


@pytest.mark.parametrize(
    ("text", "word", "query"),
    [
        (f"<think>x</think><answer>{JSON}</answer>", "ok", "red lamp"),
        (f"<think>x</think>\n<answer>\n{JSON}\n</answer>\n", "ok", "red lamp"),
        (f"x</think><answer>{JSON}</answer> Hope this helps!", "ok", "red lamp"),
        (f"<answer>{JSON}</answer>", "ok", "red lamp"),
        (f"<answer>```json\n{JSON}\n```</answer>", "fenced", "red lamp"),
        (f"<answer>```\n{JSON}```</answer>", "fenced", "red lamp"),
        (f"<answer>{JSON}", "unclosed_answer", "red lamp"),
        (f'<answer>{{"query": "a"}}</answer> no: <answer>{JSON}</answer>', "last_answer", "red lamp"),
        (f"<answer>{JSON} because</answer>", "trailing", "red lamp"),
        ("<answer>red lamp</answer>", "bare", "red lamp"),
        ('<answer>"red lamp"</answer>', "bare", "red lamp"),
        ('<answer>{"query": "red\nlamp"}</answer>', "ok", "red\nlamp"),
        ('<answer>{"query": ["red", "lamp"]}</answer>', "list", "red lamp"),
        ("red lamp", "no_answer", ""),
        ("<think>for ever", "unclosed_think", ""),
        ("<answer></answer>", "empty", ""),
        ('<answer>{"query": "  "}</answer>', "empty", ""),
        ('<answer>{"q": "lamp"}</answer>', "no_query", ""),
        ('<answer>{"query": {"a": 1}}</answer>', "query_not_text", ""),
        ('<answer>{"query": null}</answer>', "query_not_text", ""),
        ('<answer>{"query": "lamp</answer>', "bad_json", ""),
        ("<answer>" + "{" * 100_000 + "</answer>", "bad_json", ""),
        ('<answer>{"query": ' + "[" * 100_000 + "</answer>", "bad_json", ""),
        ('<answer>{"query": ' + "1" * 10_000 + "}</answer>", "query_not_text", ""),
    ],
)
def test_answer(text, word, query):
    parsed = Answer().parse(text, "request")
    # Python limits the digits of an integer: a parse error then, which is a failure too.
    assert parsed.parse == word or (parsed.parse, word) == ("bad_json", "query_not_text")
    assert (parsed.query, parsed.ok) == (query, bool(query))


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        (f"<think>x</think><answer>{JSON}</answer>", True),
        (f"<think>x</think> so: <answer>\n{JSON}\n</answer> bye", True),
        (f"<answer>{JSON}</answer>", False),
        (f"<think>x</think><answer>{JSON}", False),
        (f"<answer>{JSON}</answer><think>x</think>", False),
        (f"<think>x</think><think>x</think><answer>{JSON}</answer>", False),
        (f"<think>x</think><answer>{JSON}</answer><answer>{JSON}</answer>", False),
        ("<think>x</think><answer>red lamp</answer>", False),
        (f"<think>x</think><answer>```json\n{JSON}\n```</answer>", False),
        ('<think>x</think><answer>{"q": "x"}</answer>', False),
    ],
)
def test_strict_answer_is_the_papers_check(text, ok):
    assert Answer(strict=True).parse(text, "").ok is ok


def test_a_prompt_that_opens_think_need_not_be_repeated():
    strict = Answer(strict=True, think_opened=True)
    assert strict.parse(f"x</think><answer>{JSON}</answer>", "").ok
    assert strict.parse(f"<think>x</think><answer>{JSON}</answer>", "").ok


@pytest.mark.parametrize("name", ACTIONS)
def test_a_megabyte_is_clipped_and_reported(name):
    action = make_action(name)
    text = action.compose(("[2] > " if name == "order" else "lamp ") * 200_000, "")
    parsed = action.parse(text, "request", ["red lamp", "blue lamp"])
    assert parsed.clipped
    assert len(parsed.query) in ((3,) if name == "order" else (MAX_CHARS - 1, MAX_CHARS))  # blanks at the cut
    assert len(parsed.written) <= MAX_CHARS


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("plane", "unknown action format 'plane'; did you mean 'plain'.* choose from: plain, append, answer"),
        (None, "an action format is a name or a table with 'name', not None"),
        ({"name": "plain", "strict": True}, "has no such option: unknown option 'strict'; choose from: max_chars"),
        ({"name": "answer", "strickt": True}, "unknown option 'strickt'; did you mean 'strict'"),
        ({"name": "answer", "strict": "no"}, "strict of action format 'answer' must be true or false, not 'no'"),
        ({"strict": True}, "an action format is a name or a table with 'name'"),
        ({"name": "plain", "max_chars": "5"}, "max_chars of action format 'plain' must be a whole number, not '5'"),
        ({"name": "plain", "max_chars": 0}, "max_chars must lie in"),
        ({"name": "plain", "max_chars": 10**6}, "max_chars must lie in"),
    ],
)
def test_wrong_settings_list_the_right_ones(spec, message):
    with pytest.raises(ValueError, match=message):
        make_action(spec)


def test_formats_that_are_built_in_python_are_checked_too():
    with pytest.raises(ValueError, match="max_chars of action format 'append' must be a whole number, not 5.0"):
        Append(max_chars=5.0)
    with pytest.raises(ValueError, match="think_opened of action format 'answer' must be true or false, not 1"):
        Answer(think_opened=1)


@pytest.mark.parametrize("name", ["answer", {"name": "answer", "strict": True, "think_opened": True}])
@pytest.mark.parametrize(
    "query", ["lamp " * 200_000, "\u00e9" * 200_000, '\\"' * 100_000, "\n" + "\U0001f600" * 100_000]
)
def test_a_query_that_is_too_long_in_json_is_clipped(name, query):
    action = make_action(name)
    for ascii_only in (True, False):
        text = f"</think><answer>{json.dumps({'query': query}, ensure_ascii=ascii_only)}</answer>"
        parsed = action.parse(text, "request")
        assert (parsed.parse, parsed.clipped) == ("ok", True)
        assert query.strip().startswith(parsed.query[:-1])
        assert len(parsed.query) > MAX_CHARS // 2


def test_json_is_read_up_to_a_limit_only(monkeypatch):
    from rec_gym.loop.actions import query

    read = []

    class Decoder(json.JSONDecoder):
        def raw_decode(self, text, idx=0):
            read.append(len(text))
            return super().raw_decode(text, idx)

    monkeypatch.setattr(query, "_DECODER", Decoder(strict=False))
    for value in ([[]] * 300_000, dict.fromkeys(map(str, range(100_000)), 1), {"query": ["a"] * 300_000}):
        assert make_action("answer").parse(f"<answer>{json.dumps(value)}</answer>", "request").parse == (
            "bare" if isinstance(value, list) else "bad_json"
        )
    text = '<answer>{"query": "lamp"}' + "x" * 1_000_000
    assert make_action("answer").parse(text, "request").query == "lamp"
    assert max(read) <= 8 * MAX_CHARS + len('"}')  # the end that a cut query is given


def test_a_query_that_is_too_long_is_decoded_once(monkeypatch):
    from rec_gym.loop.actions import query

    decoded = []

    class Decoder(json.JSONDecoder):
        def raw_decode(self, text, idx=0):
            decoded.append(text)
            return super().raw_decode(text, idx)

    monkeypatch.setattr(query, "_DECODER", Decoder(strict=False))
    assert Answer().parse(f"<answer>{json.dumps({'query': 'lamp ' * 20_000})}</answer>", "request").clipped
    assert len(decoded) == 1


def read_plainly(content, limit):
    """The JSON that counts, and whether it was cut: first the characters that are read, then those with an end put after them."""
    decoder, cut = json.JSONDecoder(strict=False), content[:limit]
    try:
        value, end = decoder.raw_decode(cut)
        return value, bool(content[end:].strip()), False
    except ValueError:
        if len(content) <= limit or not re.match(r'\{\s*"query"\s*:\s*"', content):
            return None
    if (escape := re.search(r"(?<!\\)(?:\\\\)*(\\(?!.*\\).{0,5})\Z", cut, re.DOTALL)) is not None:
        cut = cut[: escape.start(1)]
    try:
        return decoder.decode(cut + '"}'), False, True
    except ValueError:
        return None


@given(
    content=st.lists(
        st.sampled_from(['{"query": "', '", "x": "', '"}', '", "query": ["a", "', '"]', "\\", "\\n", "\\ud83d\\ude00", "\\u00e9"])
        | st.sampled_from([" ", "}", "{", '"', "a", "ab", "é", "\n"])
        | st.text(max_size=3),
        max_size=12,
    ).map(lambda parts: '{"query": "' + "".join(parts)),
    limit=st.integers(1, 8),
)  # fmt: skip
@settings(max_examples=1000, deadline=None)
@example(content='{"query": "\\u00e9\\u00e9\n{"query": "', limit=3)
@example(content='{"query": "\\ud83d\\ude00\n{"query": "', limit=3)
def test_json_is_read_as_it_would_be_step_by_step(content, limit):
    parsed = Answer(max_chars=limit).parse(f"<answer>{content}</answer>", "request")
    content = content.strip()
    if "<answer>" in content or "</answer>" in content:
        return
    value = read_plainly(content, 8 * limit)
    if value is None:
        assert parsed.parse == "bad_json"
        return
    found, trailing, cut = value
    query = found["query"]
    joined = " ".join(query) if isinstance(query, list) and query and all(isinstance(q, str) for q in query) else query
    if not isinstance(joined, str):
        assert parsed.parse == "query_not_text"
    elif not joined.strip():
        assert parsed.parse == "empty"
    else:
        assert parsed.query == joined.strip()[:limit]
        assert parsed.clipped == (cut or len(joined.strip()) > limit)
        assert parsed.parse == ("trailing" if trailing else "list" if isinstance(query, list) else "ok")


@given(
    text=st.lists(
        st.sampled_from(["<", "<answer>", "</answer>", "<answer", "</think>", "a", "é", "\U0001f600"]), max_size=40
    )
)
@settings(max_examples=300, deadline=None)
@example(text=["<"] * 40)
@example(text=["<answer>", *["<"] * 20, "</answer>", *["<"] * 20])
@example(text=[*["<"] * 20, "<answer>", *["<"] * 20])
def test_tags_are_where_the_methods_of_texts_find_them(text):
    text = "".join(text)
    text += "a" * (5000 if len(text) % 2 else 0)  # the two ways of looking
    for tag in (tags.ANSWER, tags.ANSWER_END, tags.THINK_END):
        assert tags.find_tag(text, tag) == text.find(tag)
        assert tags.find_tag(text, tag, 7) == text.find(tag, 7)
        assert tags.find_last_tag(text, tag) == text.rfind(tag)


def test_an_order_of_too_many_entries_is_clipped(monkeypatch):
    from rec_gym.loop.actions import order as orders

    read = []
    inner = orders._entry
    monkeypatch.setattr(orders, "_entry", lambda *given: read.append(given) or inner(*given))
    titles = ["red lamp", "blue lamp"]
    for text in ("2\n" * 3000, "2, " * 3000, "a > " * 2000 + "2", json.dumps(["2"] * 1500)):
        read.clear()
        parsed = make_action("order").parse("blue lamp\n" + text if "a >" in text else text, "request", titles)
        assert parsed.order == (1, 0), text[:10]
        assert parsed.clipped
        assert len(read) <= 10 * len(titles) + 1
    assert not make_action("order").parse("2, 1, " * 5, "request", titles).clipped
