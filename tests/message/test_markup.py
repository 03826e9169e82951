"""HTML cut into tags and text."""

import pytest

from appliance.message.markup import EndTag, StartTag, Text, tokens


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<b>c</b>", [Text("a"), StartTag("b", []), Text("c"), EndTag("b")]),
        ("<A HREF=x Class='y z' data-a=\"1\" b>", [StartTag("a", [("href", "x"), ("class", "y z"), ("data-a", "1"), ("b", "")])]),
        ("<a href=x><!-- <b> -->1 < 2 &amp; 3", [StartTag("a", [("href", "x")]), Text("1 "), Text("<"), Text(" 2 & 3")]),
        ("<script>if (a<b) '</p>'</script>x", [StartTag("script", []), Text("if (a<b) '</p>'"), EndTag("script"), Text("x")]),
        ("<!doctype html><br/>", [StartTag("br", [])]),
        ("x<a href='never", [Text("x")]),
        ("x<!-- never <b>", [Text("x")]),
        ("<p title='a>b'>c", [StartTag("p", [("title", "a>b")]), Text("c")]),
        ("</>x<?php ?>", [Text("x")]),
    ],
)
def test_tokens_are_what_browsers_see(html: str, expected: list[object]) -> None:
    """Quotes, comments, raw text, and what never ends."""
    assert expected == list(tokens(html))
