"""The scanner that knows where keys stand."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.config.locate import locate

TEXT = '''\
# comment = 1
domain = "a"  # x = 2
"quoted key" = 1
text = """
[not.a.table]
key = 1
"""
a.b.'c' = [ # comment ]
  1,
  {d = [2, 3], e = "]}"},
]
[table.sub]
x = 1
[[users]]
name = "ana"
[users.more]
y = 1
[[users]]
name = "bob"
"k\\u0065y" = """x"""
'''


def test_every_shape_of_key_has_its_line() -> None:
    """Tables, arrays of tables, dotted and quoted keys, inline tables, members of lists."""
    locator = locate(TEXT)
    expected = {
        ("domain",): 2,
        ("quoted key",): 3,
        ("text",): 4,
        ("a", "b", "c"): 8,
        ("a", "b", "c", 0): 9,
        ("a", "b", "c", 1, "d", 1): 10,
        ("table", "sub", "x"): 13,
        ("users", 0, "name"): 15,
        ("users", 0, "more", "y"): 17,
        ("users", 1, "name"): 19,
        ("users", 1, "key"): 20,
    }
    assert expected == {path: locator.line(path) for path in expected}


def test_a_missing_key_has_the_line_of_its_table() -> None:
    """What is not in the file is pointed at as near as can be."""
    locator = locate(TEXT)
    assert [locator.line(path) for path in [("users", 1, "nothing"), ("table",), ("none",)]] == [18, 12, 0]


def test_spans_cut_out_the_values() -> None:
    """The span of a value is its text, no more."""
    locator = locate(TEXT)
    span = locator.spans["a", "b", "c", 1]
    assert TEXT[span.value_start : span.value_end] == '{d = [2, 3], e = "]}"}'
    span = locator.spans["domain",]
    assert TEXT[span.value_start : span.value_end] == '"a"'


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    if isinstance(value, dict):
        pairs: list[tuple[str | int, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return {path: value}
    return {place: leaf for key, each in pairs for place, leaf in _leaves(each, (*path, key)).items()}


LINES = st.sampled_from(
    [
        "[t]",
        "[t.u]",
        "[[v]]",
        "[[v]]",
        "[v.w]",
        "[[v.x]]",
        "a = 1",
        "b.c = 'x'",
        "b.d = 2.5",
        'e = ["]", [1, 2], {f = "}"}]',
        "'g h' = {i.j = 1, k = []}",
        'l = """\n[x]\n"""',
        "m = '''\nn = 1'''",
        "# [z]",
        "",
        "o = true # p",
        "q = 1979-05-27T07:32:00Z",
        'r = "\\"#"',
        "s = [\n 1, # c\n 2,\n]",
    ]
)


@given(st.lists(LINES, max_size=14).map("\n".join))
def test_each_leaf_of_a_valid_text_is_found_and_reads_the_same(text: str) -> None:
    """What tomllib says a key is worth is what the span cuts out."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        locate(text)
        return
    locator = locate(text)
    for path, value in _leaves(raw).items():
        span = locator.spans[path]
        assert tomllib.loads(f"x = {text[span.value_start : span.value_end]}")["x"] == value
