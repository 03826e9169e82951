"""Tag lists, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.dkim_tags import TagListError, format_tags, parse_tags, without_space


def test_the_tags_of_a_signature_are_read_in_order() -> None:
    """Space around names and values goes, space inside a value stays, a semicolon may end the list."""
    expected = {"v": "1", "a": "rsa-sha256", "h": "from : to", "b": "AB\r\n CD", "n": ""}
    assert expected == parse_tags(b" v = 1;a=rsa-sha256;\r\n\th=from : to; b=AB\r\n CD ;n=; ")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"v=1;v=1", "the tag v stands twice"),
        (b"v=1;;a=b", "a tag has no name or no value"),
        (b"1a=b", "a tag has no name or no value"),
        (b"v", "a tag has no name or no value"),
        (b"v=\xff", "it is not UTF-8"),
        (b"v=\0", "it has control characters"),
        (b"v=" + b"a" * 8_191, "it is too long"),
    ],
)
def test_what_is_no_tag_list_is_told(value: bytes, reason: str) -> None:
    """The reason is for the log and for people."""
    with pytest.raises(TagListError, match=reason):
        parse_tags(value)


def test_names_differ_by_case() -> None:
    """RFC 6376 section 3.2 compares tags with their case."""
    assert {"V": "1", "v": "2"} == parse_tags(b"V=1;v=2")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), st.text("abcdefgh:/+=ABCDEF0123456789", max_size=300), max_size=8
    )
)
def test_what_is_written_is_read_back(tags: dict[str, str]) -> None:
    """Folding changes nothing but space, and no line is longer than RFC 5322 section 2.1.1 likes where it can be broken."""
    field = format_tags("DKIM-Signature", tags)
    assert field.endswith(b"\r\n")
    read = {name: without_space(value) for name, value in parse_tags(field.partition(b":")[2]).items()}
    assert tags == read


def test_long_values_are_folded() -> None:
    """A 4,096 bit signature and many fields stay within 78 columns."""
    tags = {"a": "rsa-sha256", "h": ":".join(f"field-{number}" for number in range(60)), "b": "A" * 684}
    assert max(len(line) for line in format_tags("DKIM-Signature", tags).split(b"\r\n")) <= 78
