"""The mechanisms that take any password."""

import hmac

import pytest

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.mechanisms import CHECKED
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ServerMechanism
from appliance.protocols.sasl.unchecked import NOBODY, UNCHECKED


def _no_keys(login: str) -> ScramKeys:
    raise AssertionError(login)


def _make(name: str) -> ServerMechanism:
    mechanism = UNCHECKED.make(name, scram_keys=_no_keys, nonce="17")
    assert mechanism is not None
    return mechanism


DIGEST = hmac.new(b"whatever", b"<17@carteiro>", "md5").hexdigest().encode()


@pytest.mark.parametrize(
    ("name", "messages", "expected"),
    [
        ("PLAIN", [b"\0ana\0secret"], ("ana", "secret")),
        ("PLAIN", [b"bob\0ana\0"], ("ana", "")),
        ("PLAIN", [b"bob\0\0"], ("bob", "")),
        ("LOGIN", [None, b"ana", b"secret"], ("ana", "secret")),
        ("LOGIN", [b"ana", b""], ("ana", "")),
        ("CRAM-MD5", [None, b"ana maria " + DIGEST], ("ana maria", "")),
        ("CRAM-MD5", [b"", b"ana " + DIGEST], ("ana", "")),
        ("LOGIN", [b"", b"ana", b"secret"], ("ana", "secret")),
        ("LOGIN", [None, b"", b""], (NOBODY, "")),
        ("XOAUTH2", [b"user=ana@example.com\x01auth=Bearer ya29.vF9\x01\x01"], ("ana@example.com", "ya29.vF9")),
        ("OAUTHBEARER", [b"n,a=ana@example.com,\x01host=x\x01port=25\x01auth=Bearer vF9\x01\x01"], ("ana@example.com", "vF9")),
        ("OAUTHBEARER", [b"n,,\x01auth=Bearer vF9\x01\x01"], (NOBODY, "vF9")),
        ("EXTERNAL", [b""], (NOBODY, "")),
        ("EXTERNAL", [None, b"ana"], ("ana", "")),
        ("ANONYMOUS", [b"sirhc"], ("sirhc", "")),
    ],
)
def test_who_logs_in(name: str, messages: list[bytes | None], expected: tuple[str, str]) -> None:
    """The name is read out of each mechanism's message, and every password will do."""
    mechanism = _make(name)
    for message in messages[:-1]:
        assert isinstance(mechanism.step(message), Challenge)
    step = mechanism.step(messages[-1])
    assert isinstance(step, CheckPassword)
    assert ("", *expected) == (step.authzid, step.login, step.password)


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("PLAIN", [b"ana secret"]),
        ("PLAIN", [b"\0an\xff\0secret"]),
        ("PLAIN", [b"\0an\na\0secret"]),
        ("LOGIN", [b"a" * 1_025, b""]),
        ("CRAM-MD5", [b"ana " + DIGEST]),
        ("CRAM-MD5", [None, b"ana"]),
        ("CRAM-MD5", [None, b"ana " + DIGEST[:-1]]),
        ("XOAUTH2", [b"user=ana\x01\x01"]),
        ("XOAUTH2", [b"user=ana\x01auth=Bearer " + b"x" * 12_300 + b"\x01\x01"]),
        ("OAUTHBEARER", [b"n,a=ana,\x01\x01"]),
        ("EXTERNAL", [b"\0"]),
    ],
)
def test_what_is_malformed_fails(name: str, messages: list[bytes | None]) -> None:
    """A message that has not the mechanism's form is a fault of the program under test, and is told."""
    mechanism = _make(name)
    for message in messages[:-1]:
        assert isinstance(mechanism.step(message), Challenge)
    assert isinstance(mechanism.step(messages[-1]), Failed)


def test_cram_challenges_with_a_message_id() -> None:
    """RFC 2195 section 2: the challenge has the form of a Message-ID, and is another each time."""
    assert Challenge(b"<17@carteiro>") == _make("CRAM-MD5").step(None)


def test_a_server_with_accounts_offers_none_of_it() -> None:
    """What checks passwords and what does not have only the two in common that carry the password itself."""
    assert {"PLAIN", "LOGIN"} == set(CHECKED.names) & set(UNCHECKED.names)
    assert None is CHECKED.make("CRAM-MD5", scram_keys=_no_keys, nonce="17")
    assert None is UNCHECKED.make("SCRAM-SHA-256", scram_keys=_no_keys, nonce="17")
