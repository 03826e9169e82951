"""SASL mechanisms: test vectors, both sides against each other, and every malformed message."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.mechanisms import SERVER_MECHANISMS, choose_client_mechanism, make_server_mechanism
from appliance.protocols.sasl.plain import LoginClient, LoginServer, PlainClient, PlainServer
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.scram import ScramClient, ScramServer, derive_scram_keys
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
KEYS = derive_scram_keys("pencil", SALT, 4096)
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST = f"n,,n=user,r={CLIENT_NONCE}".encode()
SERVER_FIRST = f"r={CLIENT_NONCE}{SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
CLIENT_FINAL = f"c=biws,r={CLIENT_NONCE}{SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def _keys(login: str) -> ScramKeys:
    return KEYS


def _scram(**settings: Any) -> ScramServer:
    return ScramServer(_keys, SERVER_NONCE, **settings)


def test_scram_vector() -> None:
    """The example of RFC 7677 section 3, from both sides."""
    client, server = ScramClient("user", "pencil", CLIENT_NONCE), _scram()
    assert CLIENT_FIRST == client.initial_response()
    assert Challenge(SERVER_FIRST) == server.step(CLIENT_FIRST)
    assert CLIENT_FINAL == client.respond(SERVER_FIRST)
    assert ScramFinished("", "user", True, SERVER_FINAL) == server.step(CLIENT_FINAL)
    assert not client.is_complete
    assert b"" == client.respond(SERVER_FINAL)
    assert client.is_complete


def test_scram_wrong_password() -> None:
    """A wrong password is finished, not failed: somebody must count it."""
    client, server = ScramClient("user", "pen", CLIENT_NONCE), _scram()
    server.step(client.initial_response())
    finished = server.step(client.respond(SERVER_FIRST))
    assert isinstance(finished, ScramFinished)
    assert (False, b"e=invalid-proof") == (finished.ok, finished.final)
    assert client.respond(finished.final) is None


def test_scram_channel_binding() -> None:
    """-PLUS binds to the TLS connection: other data, other type or a downgrade fail."""
    binding = {"tls-exporter": b"x" * 32}

    def run(client: ScramClient, server: ScramServer) -> Any:
        step = server.step(client.initial_response())
        if not isinstance(step, Challenge):
            return step
        return server.step(client.respond(step.data))

    def client(kind: str, data: bytes, *, offered: bool = True) -> ScramClient:
        return ScramClient("user", "pencil", CLIENT_NONCE, channel_binding=(kind, data), server_offers_plus=offered)

    good = client("tls-exporter", b"x" * 32)
    assert "SCRAM-SHA-256-PLUS" == good.name
    assert run(good, _scram(plus=True, channel_binding=binding)).ok
    assert isinstance(run(client("tls-exporter", b"y" * 32), _scram(plus=True, channel_binding=binding)), Failed)
    assert isinstance(run(client("tls-unique", b"x" * 32), _scram(plus=True, channel_binding=binding)), Failed)
    assert isinstance(run(client("tls-exporter", b"x" * 32, offered=False), _scram(channel_binding=binding)), Failed)
    assert run(client("tls-exporter", b"x" * 32, offered=False), _scram()).ok
    assert isinstance(run(good, _scram()), Failed)
    assert run(ScramClient("user", "pencil", CLIENT_NONCE), _scram(channel_binding=binding)).ok


@pytest.mark.parametrize(
    "message",
    [b"", b"n,,", b"n,,n=,r=x", b"n,,n=a,r=", b"q,,n=a,r=x", b"n,,m=1,n=a,r=x", b"n,,n=a=2D,r=x", b"n,,n=a,r=x y", b"n,,n=\xff,r=x", b"n,,n=\x01,r=x",
     b"n,a==,n=a,r=x", b"p=,,n=a,r=x", b"n,,n=a,r=" + b"x" * 5000],
)  # fmt: skip
def test_scram_bad_first(message: bytes) -> None:
    """A malformed first message fails."""
    assert isinstance(_scram().step(message), Failed)


@pytest.mark.parametrize(
    "message",
    [b"", b"c=biws", CLIENT_FINAL.replace(b"biws", b"biwsbiws"), CLIENT_FINAL.replace(b"rOpr", b"rOps"), CLIENT_FINAL.replace(b"dHz", b"!"),
     CLIENT_FINAL[:-4], CLIENT_FINAL.replace(b"VQ=", b"VQ"), CLIENT_FINAL.replace(b"biws", b"b")],
)  # fmt: skip
def test_scram_bad_final(message: bytes) -> None:
    """A malformed last message fails."""
    server = _scram()
    server.step(CLIENT_FIRST)
    assert isinstance(server.step(message), Failed)


@pytest.mark.parametrize(
    "message",
    [b"x", SERVER_FIRST.replace(b"rOpr", b"rOps"), f"r={CLIENT_NONCE},s=YQ==,i=4096".encode(), SERVER_FIRST.replace(b"4096", b"4095"),
     SERVER_FIRST.replace(b"4096", b"9999999"), SERVER_FIRST.replace(b"s=W22", b"s=W2")],
)  # fmt: skip
def test_scram_bad_server(message: bytes) -> None:
    """A client gives up on a server that is malformed, too weak or too costly."""
    client = ScramClient("user", "pencil", CLIENT_NONCE)
    assert client.initial_response() == client.respond(b"")
    assert client.respond(message) is None


def test_scram_names() -> None:
    """Commas and equal signs travel escaped; an authorization identity is told."""
    client, server = ScramClient("a,b=c", "pencil", CLIENT_NONCE), _scram()
    assert b"n=a=2Cb=3Dc," in (client.initial_response() or b"")
    assert isinstance(server.step(None), Challenge)
    server.step((client.initial_response() or b"").replace(b"n,,", b"n,a=ana,"))
    finished = server.step(b"c=" + base64.b64encode(b"n,a=ana,") + CLIENT_FINAL[6:])
    assert isinstance(finished, ScramFinished)
    assert ("ana", "a,b=c", False) == (finished.authzid, finished.login, finished.ok)


def test_plain() -> None:
    """Three parts, no more, no less, none too long."""
    server = PlainServer()
    assert Challenge(b"") == server.step(None)
    client = PlainClient("ana", "se\u00e7ret")
    assert CheckPassword("", "ana", "se\u00e7ret") == server.step(client.initial_response())
    assert client.initial_response() == client.respond(b"")
    assert client.respond(b"what") is None
    assert CheckPassword("z", "a", "b") == server.step(b"z\0a\0b")
    for message in (b"", b"a\0b", b"\0\0b", b"\0a\0", b"\0a\0b\0", b"\0\xff\0b", b"\0a\0\x07", b"\0" + b"a" * 1025 + b"\0b"):
        assert isinstance(server.step(message), Failed)
    assert "secret" not in repr(CheckPassword("", "ana", "secret"))


def test_login() -> None:
    """Name, then password, also with the name as initial response."""
    for initial in (None, b""):
        server, client = LoginServer(), LoginClient("ana", "secret")
        assert client.initial_response() is None
        assert Challenge(b"Username:") == server.step(initial)
        assert Challenge(b"Password:") == server.step(client.respond(b"Username:"))
        assert CheckPassword("", "ana", "secret") == server.step(client.respond(b"Password:"))
        assert client.respond(b"more") is None
    server = LoginServer()
    assert Challenge(b"Password:") == server.step(b"ana")
    assert isinstance(server.step(b""), Failed)


def test_saslprep() -> None:
    """The examples of RFC 4013 section 3, and ASCII as it is."""
    assert "IX" == saslprep("I\u00adX")
    assert "user" == saslprep("user")
    assert "USER" == saslprep("USER")
    assert "a" == saslprep("\u00aa")
    assert "IX" == saslprep("\u2168")
    assert "a b" == saslprep("a\u00a0b")
    assert "\u0627x1" != saslprep("\u0627")
    assert "" == saslprep("\u00ad")
    for text in ("\x07", "\u0627\u0031", "\u0627x\u0627", "\u200e", "\ue000"):
        with pytest.raises(PrepError):
            saslprep(text)


def test_choosing() -> None:
    """The best of what both know; no password in plain text where that is not allowed."""

    def choose(offered: tuple[str, ...], **settings: Any) -> str | None:
        chosen = choose_client_mechanism(offered, "a", "b", nonce="n", **{"plaintext_allowed": True, **settings})
        return chosen.name if chosen else None

    assert "SCRAM-SHA-256" == choose(SERVER_MECHANISMS)
    assert "SCRAM-SHA-256-PLUS" == choose(SERVER_MECHANISMS, channel_binding=("tls-exporter", b"x"))
    assert "PLAIN" == choose(("LOGIN", "PLAIN", "SCRAM-SHA-256-PLUS"))
    assert "LOGIN" == choose(("LOGIN", "XOAUTH2"))
    assert choose(("LOGIN", "PLAIN"), plaintext_allowed=False) is None
    for name in SERVER_MECHANISMS:
        mechanism = make_server_mechanism(name, scram_keys=_keys, nonce="n")
        assert mechanism is not None
        assert name == mechanism.name
    assert make_server_mechanism("CRAM-MD5", scram_keys=_keys, nonce="n") is None


@settings(max_examples=50)
@given(st.sampled_from(SERVER_MECHANISMS), st.lists(st.binary(max_size=60) | st.just(CLIENT_FIRST), max_size=3))
def test_servers_never_raise(name: str, messages: list[bytes]) -> None:
    """Whatever a client sends is a step."""
    mechanism = make_server_mechanism(name, scram_keys=_keys, nonce="n", channel_binding={})
    assert mechanism is not None
    for message in messages:
        mechanism.step(message)
