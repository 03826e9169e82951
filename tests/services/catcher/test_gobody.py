"""Request bodies as those clients write them, and what is said of others."""

from typing import Any

import pytest

from appliance.services.catcher.gobody import BodyError, Shape, read_body

SHAPE: Shape = {
    "Read": bool,
    "IDs": [str],
    "Search": str,
    "Chance": float,
    "Code": int,
    "Headers": dict,
    "From": {"Name": str, "Email": str},
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"IDs":["a"],"Read":true}', {"IDs": ["a"], "Read": True}),
        (b'{"ids":["a"],"READ":false,"other":{}}', {"IDs": ["a"], "Read": False}),
        (b' {"IDs":null,"Search":"x"} and more', {"Search": "x"}),
        (b"null", {}),
        (b'{"Chance":1,"Code":2,"from":{"email":"a@b"},"headers":{"X-a":"1"}}', {"Chance": 1.0, "Code": 2, "From": {"Email": "a@b"}, "Headers": {"X-a": "1"}}),
        (b'{"IDs":["a",null]}', {"IDs": ["a"]}),
    ],
)  # fmt: skip
def test_names_are_known_in_any_case(body: bytes, expected: dict[str, Any]) -> None:
    """Unknown fields, nulls and what follows are left aside."""
    assert expected == read_body(body, SHAPE)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "EOF"),
        (b"  ", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"IDs":["a', "unexpected EOF"),
        (b"abc", "invalid character 'a' looking for beginning of value"),
        (b"{abc", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"IDs":["a" "b"]}', "invalid character '\"' after array element"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct { Name string; IDs []string }"),
        (b'"x"', "json: cannot unmarshal string into Go value of type struct { Name string; IDs []string }"),
        (b'{"IDs":"a"}', "json: cannot unmarshal string into Go struct field .IDs of type []string"),
        (b'{"IDs":[5]}', "json: cannot unmarshal number into Go struct field .IDs of type string"),
        (b'{"Name":true}', "json: cannot unmarshal bool into Go struct field .Name of type string"),
        (b'{"Name":{}}', "json: cannot unmarshal object into Go struct field .Name of type string"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_that_decoder(body: bytes, expected: str) -> None:
    """Which character, which field, which kind."""
    with pytest.raises(BodyError) as caught:
        read_body(body, {"Name": str, "IDs": [str]})
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"Sender":{"ErrorCode":"x"}}', "json: cannot unmarshal string into Go struct field .Sender.ErrorCode of type int"),
        (b'{"Sender":{"ErrorCode":true}}', "json: cannot unmarshal bool into Go struct field .Sender.ErrorCode of type int"),
        (b'{"Sender":{"ErrorCode":1.5}}', "json: cannot unmarshal number 1.5 into Go struct field .Sender.ErrorCode of type int"),
        (b'{"Sender":5}', "json: cannot unmarshal number into Go struct field .Sender of type struct { ErrorCode int }"),
    ],
)
def test_a_field_is_named_with_what_it_is_in(body: bytes, expected: str) -> None:
    """From the root on."""
    with pytest.raises(BodyError) as caught:
        read_body(body, {"Sender": {"ErrorCode": int}})
    assert expected == str(caught.value)
