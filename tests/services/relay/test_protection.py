"""TLS as the next hop asks for it, and logins that are never told to listeners."""

from dataclasses import replace
from typing import Any

import pytest

from appliance.model.outcome import Action, Outcome
from appliance.model.routing import TlsLevel
from appliance.net.tls import TlsSetupError
from appliance.protocols.smtp.replies import Reply

SECRET = "hunter2-secret"
NO_TLS = b"220 2.0.0 Ready\r\nthis is no handshake\r\n"
ALL_LEVELS = [TlsLevel.MAY, TlsLevel.ENCRYPT, TlsLevel.VERIFY]


async def send(house: Any, level: TlsLevel, **hop: Any) -> Outcome:
    (outcome,) = await house.send(next_hop=house.hop(tls=level, **hop))
    assert SECRET not in repr(outcome)
    assert SECRET not in repr(house.warnings)
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("level", ALL_LEVELS)
async def test_every_level_takes_tls_where_it_is_good(house: Any, level: TlsLevel) -> None:
    """The outcome tells the version; EHLO is said again inside."""
    peer = await house.peer(tls=True)
    outcome = await send(house, level)
    assert (Action.RELAYED, "TLSv1.3") == (outcome.action, outcome.tls)
    assert ["greeting", "hello", "starttls", "handshake", "hello", "mail", "rcpt", "data", "end"] == peer.said


async def test_implicit_tls_starts_with_the_first_byte(house: Any) -> None:
    """RFC 8314 section 3."""
    peer = await house.peer(implicit=True)
    outcome = await send(house, TlsLevel.IMPLICIT)
    assert (Action.RELAYED, "TLSv1.3", "handshake") == (outcome.action, outcome.tls, peer.said[0])


async def test_none_means_none(house: Any) -> None:
    """STARTTLS is offered and not taken."""
    peer = await house.peer(tls=True)
    assert "" == (await send(house, TlsLevel.NONE)).tls
    assert "starttls" not in peer.said


@pytest.mark.parametrize(
    ("level", "expected"), [(TlsLevel.MAY, Action.RELAYED), (TlsLevel.ENCRYPT, Action.DEFERRED), (TlsLevel.VERIFY, Action.DEFERRED)]
)
async def test_a_server_without_tls(house: Any, level: TlsLevel, expected: Action) -> None:
    """Only who prefers it goes on."""
    peer = await house.peer()
    outcome = await send(house, level)
    assert expected is outcome.action
    if expected is Action.DEFERRED:
        assert ("4.7.4", "mx1.example offers no TLS, which the settings demand") == (outcome.status, outcome.reason)
        assert "mail" not in peer.said


@pytest.mark.parametrize("level", ALL_LEVELS)
async def test_a_server_that_refuses_starttls(house: Any, level: TlsLevel) -> None:
    """454 (RFC 3207 section 4): the conversation goes on in the clear where that is allowed."""
    peer = await house.peer(tls=True, starttls=Reply(454, "4.7.0", "TLS not available"))
    outcome = await send(house, level)
    if level is TlsLevel.MAY:
        assert (Action.RELAYED, "", 1) == (outcome.action, outcome.tls, peer.connections)
    else:
        assert (Action.DEFERRED, "4.7.0") == (outcome.action, outcome.status)


@pytest.mark.parametrize(
    "script",
    [
        {"starttls": "close"},
        {"starttls": b"garbage\r\n"},
        {"starttls": NO_TLS},
        {"handshake": "close"},
        {"handshake": b"\x15\x03\x01\x00\x02\x02\x28"},
    ],
)
@pytest.mark.parametrize("level", ALL_LEVELS)
async def test_a_server_whose_tls_is_broken(house: Any, level: TlsLevel, script: Any) -> None:
    """RFC 7435: once more in the clear where TLS is only preferred, and the log says so; else the mail waits."""
    peer = await house.peer(tls=True, **script)
    outcome = await send(house, level)
    if level is TlsLevel.MAY:
        assert (Action.RELAYED, "", 2) == (outcome.action, outcome.tls, peer.connections)
        assert [("relay_tls_failed", "sent without TLS")] == [(event, fields["consequence"]) for event, fields in house.warnings]
    else:
        assert (Action.DEFERRED, []) == (outcome.action, peer.messages)
        assert outcome.status in {"4.7.5", "4.4.2"}


async def test_a_handshake_that_hangs(house: Any) -> None:
    """It costs its deadline and no more."""
    house.settings = {"greeting_timeout_s": 0.1}
    await house.peer(tls=True, handshake=["hang", None])
    assert Action.RELAYED is (await send(house, TlsLevel.MAY)).action
    house.peers["mx1.example"].script["handshake"] = ["hang"]
    outcome = await send(house, TlsLevel.ENCRYPT)
    assert (Action.DEFERRED, "4.4.2") == (outcome.action, outcome.status)
    assert "timed out" in outcome.reason


@pytest.mark.parametrize("level", [TlsLevel.VERIFY, TlsLevel.IMPLICIT])
async def test_a_certificate_for_another_name(house: Any, level: TlsLevel) -> None:
    """Deferred with the reason and what to do; nothing of the message was said."""
    peer = await house.peer("wrong.example", tls=level is TlsLevel.VERIFY, implicit=level is TlsLevel.IMPLICIT)
    outcome = await send(house, level)
    assert (Action.DEFERRED, "4.7.5") == (outcome.action, outcome.status)
    assert "not valid for 'wrong.example'" in outcome.reason
    assert "relay.ca_file" in outcome.reason
    assert "mail" not in peer.said


async def test_a_certificate_of_an_unknown_authority(house: Any) -> None:
    """VERIFY refuses it, ENCRYPT does not mind."""
    peer = await house.peer(tls=True)
    peer.tls = house.certificates.other
    outcome = await send(house, TlsLevel.VERIFY)
    assert (Action.DEFERRED, "4.7.5") == (outcome.action, outcome.status)
    assert "self-signed certificate in certificate chain" in outcome.reason or "unable to get local issuer" in outcome.reason
    assert Action.RELAYED is (await send(house, TlsLevel.ENCRYPT)).action


async def test_no_authorities_to_verify_with(house: Any) -> None:
    """The machine lacks ca-certificates: the mail waits and the outcome says what to install."""

    def no_authorities(*, verify: bool) -> Any:
        raise TlsSetupError("no file of certificate authorities was found", "install ca-certificates or set relay.ca_file")

    house.start(make_tls=no_authorities)
    await house.peer(tls=True)
    outcome = await send(house, TlsLevel.VERIFY)
    assert (Action.DEFERRED, "4.7.5") == (outcome.action, outcome.status)
    assert "install ca-certificates" in outcome.reason


async def test_another_host_is_tried_after_a_bad_certificate(house: Any) -> None:
    """The second MX has a good one."""
    await house.peer("wrong.example", tls=True)
    second = await house.peer("mx2.example", 20, tls=True)
    assert Action.RELAYED is (await send(house, TlsLevel.VERIFY)).action
    assert 1 == len(second.messages)


# Logins


async def smarthost(house: Any, *mechanisms: str, tls: bool = True, **script: Any) -> Any:
    peer = await house.peer(tls=tls, **script)
    peer.options = replace(peer.options, auth_mechanisms=mechanisms, auth_needs_tls=False, auth_required=True)
    peer.passwords = {"office": SECRET}
    return peer


def login(password: str = SECRET) -> dict[str, Any]:
    return {"host": "mx1.example", "use_mx": False, "username": "office", "password": password}


async def test_a_login_inside_tls(house: Any) -> None:
    """PLAIN, after STARTTLS."""
    peer = await smarthost(house, "PLAIN")
    assert Action.RELAYED is (await send(house, TlsLevel.VERIFY, **login())).action
    assert "auth PLAIN tls" in peer.said


async def test_a_wrong_password_waits(house: Any) -> None:
    """The admin's mistake is not the sender's: deferred, with the server's words."""
    await smarthost(house, "PLAIN")
    outcome = await send(house, TlsLevel.VERIFY, **login("wrong"))
    assert (Action.DEFERRED, "4.7.8") == (outcome.action, outcome.status)
    assert "535 5.7.8 Wrong user name or password (in reply to AUTH)" in outcome.reason


@pytest.mark.parametrize("act", ["close", Reply(454, "4.7.0", "Later"), b"334 not-base64-%%\r\n", Reply(421, "4.3.2", "Bye")])
async def test_a_login_that_fails_otherwise_waits(house: Any, act: Any) -> None:
    """Whatever it is, nothing bounces."""
    await smarthost(house, "PLAIN", auth=act)
    assert Action.DEFERRED is (await send(house, TlsLevel.VERIFY, **login())).action


@pytest.mark.parametrize(("mechanisms", "words"), [((), "no way to log in"), (("X-OTHER",), "no way to log in")])
async def test_no_mechanism_in_common(house: Any, mechanisms: tuple[str, ...], words: str) -> None:
    """Deferred in words."""
    await smarthost(house, *mechanisms)
    outcome = await send(house, TlsLevel.VERIFY, **login())
    assert (Action.DEFERRED, "4.7.0") == (outcome.action, outcome.status)
    assert words in outcome.reason


@pytest.mark.parametrize("script", [{}, {"starttls": Reply(454, "", "No")}, {"starttls": "close"}, {"handshake": "close"}])
async def test_a_password_is_not_sent_in_the_clear_because_tls_broke(house: Any, script: Any) -> None:
    """Whoever can break the handshake, or hide STARTTLS, would be told it."""
    peer = await smarthost(house, "PLAIN", "LOGIN", tls=bool(script), **script)
    outcome = await send(house, TlsLevel.MAY, **login())
    assert (Action.DEFERRED, "4.7.0") == (outcome.action, outcome.status)
    assert "no TLS to protect it" in outcome.reason
    assert [] == [said for said in peer.said if said.startswith("auth")]


async def test_none_allows_a_login_in_the_clear(house: Any) -> None:
    """Said by name in the settings, as for a relay on this machine."""
    peer = await smarthost(house, "PLAIN", tls=False)
    assert Action.RELAYED is (await send(house, TlsLevel.NONE, **login())).action
    assert "auth PLAIN clear" in peer.said


@pytest.mark.parametrize(("tls", "mechanism"), [(True, "SCRAM-SHA-256-PLUS tls"), (False, "SCRAM-SHA-256 clear")])
async def test_a_login_is_bound_to_the_certificate(house: Any, tls: bool, mechanism: str) -> None:
    """Where the server offers it and there is a certificate to be bound to (RFC 5802 section 6)."""
    peer = await smarthost(house, "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", tls=tls)
    await send(house, TlsLevel.VERIFY if tls else TlsLevel.NONE, **login())
    assert [f"auth {mechanism}"] == [said for said in peer.said if said.startswith("auth ")]


async def test_a_login_that_cannot_be_written(house: Any) -> None:
    """RFC 5802 section 2.2: SASLprep forbids control characters."""
    await smarthost(house, "SCRAM-SHA-256")
    outcome = await send(house, TlsLevel.VERIFY, **login() | {"username": "of\x01fice"})
    assert (Action.DEFERRED, "4.7.0") == (outcome.action, outcome.status)


async def test_a_next_hop_does_not_show_its_password(house: Any) -> None:
    """Not in a traceback, not in a log."""
    assert SECRET not in repr(house.hop(**login()))
