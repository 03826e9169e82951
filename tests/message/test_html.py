"""HTML of messages, made ready to be shown."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.message.html import elements, embedded, with_parts


def test_pictures_of_the_message_have_addresses() -> None:
    """In attributes and in styles; unknown ones stay."""
    html = '<img src="cid:a@b"><p style="background:url(cid:c%40d)"></p><img src=\'cid:none\'>'
    assert '<img src="/p/1"><p style="background:url(/p/2)"></p><img src=\'cid:none\'>' == with_parts(html, {"a@b": "/p/1", "c@d": "/p/2"})


def test_an_embedded_document_is_whole() -> None:
    """Links open outside, tables have bodies, everything is closed, and the height is told."""
    text = embedded("<table><tr><td>a<br><a href='https://x.test'>b</table>", "N")
    assert text.startswith(
        '<html><head></head><body><table><tbody><tr><td>a<br/><a href="https://x.test" target="_blank" rel="noreferrer noopener">b</a>'
        "</td></tr></tbody></table>"
    )
    assert '<script nonce="N">' in text


def test_elements_and_styles() -> None:
    """In order, with attributes, and the text of style sheets."""
    assert ([("style", {}), ("p", {"class": "x"})], "p{}") == elements("<style>p{}</style><p class=x>")


@given(st.text(alphabet="<>/'\"= abtrdscript&;-!", max_size=400))
def test_any_text_can_be_embedded(text: str) -> None:
    """Nothing fails."""
    embedded(text, "N")
    elements(text)
    with_parts(text, {"a": "b"})
