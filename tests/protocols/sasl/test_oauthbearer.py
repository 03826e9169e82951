"""The client's message of OAUTHBEARER."""

import pytest

from appliance.protocols.sasl.oauthbearer import BearerToken, parse_bearer


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            BearerToken("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
        ),
        (b"n,,\x01auth=bearer a.b-c_d~e\x01\x01", BearerToken("", "a.b-c_d~e")),
        (b"n,a=a=2Cb=3D,\x01auth=Bearer x\x01\x01", BearerToken("a,b=", "x")),
        (b"n,,\x01auth=Bearer x\x01unknown=\xc3\xa9\x01\x01", BearerToken("", "x")),
    ],
)
def test_messages(message: bytes, expected: BearerToken) -> None:
    """The example of RFC 7628 section 4.1 and others; unknown pairs are passed over."""
    assert expected == parse_bearer(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,\x01\x01",
        b"y,,\x01auth=Bearer x\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer x\x01\x01",
        b"n,a=,\x01auth=Bearer x\x01\x01",
        b"n,a=a=b,\x01auth=Bearer x\x01\x01",
        b"n,a=\xff,\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Basic x\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer x y\x01\x01",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Bearer " + b"x" * 13_000 + b"\x01\x01",
    ],
)
def test_other_messages(message: bytes) -> None:
    """None of them names a token."""
    assert parse_bearer(message) is None


def test_the_token_is_not_shown() -> None:
    """Whatever prints the value."""
    assert "secret" not in repr(BearerToken("ana", "secret"))
