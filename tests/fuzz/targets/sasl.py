"""SASL: server mechanisms against any client, clients against any server, SASLprep."""

import base64
import random

from appliance.model.ports import ScramKeys
from appliance.policy.bearer import BearerTokens, TokenError
from appliance.protocols.sasl import scram
from appliance.protocols.sasl.mechanisms import make_server_mechanism
from appliance.protocols.sasl.oauthbearer import parse_bearer
from appliance.protocols.sasl.plain import LoginClient, PlainClient
from appliance.protocols.sasl.prep import PrepError, saslprep
from appliance.protocols.sasl.scram import ScramClient, derive_scram_keys
from appliance.protocols.sasl.steps import Challenge, CheckPassword, Failed, ScramFinished
from appliance.protocols.sasl.unchecked import UNCHECKED
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

_KEYS = derive_scram_keys("pencil", b"salt", 4_096)
_BINDING = {"tls-exporter": b"\1" * 32}


def _lookup(login: str) -> ScramKeys:
    assert login
    return _KEYS


def _check_server(data: bytes, rnd: random.Random) -> object:
    """Messages are separated by LF; an empty one is one as well."""
    name = rnd.choice(("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"))
    mechanism = make_server_mechanism(
        name, scram_keys=_lookup, nonce="server", channel_binding=_BINDING if rnd.random() < 0.5 or "PLUS" in name else None
    )
    assert mechanism is not None
    said = []
    for response in [None, *data.split(b"\n")] if rnd.random() < 0.3 else data.split(b"\n"):
        step = mechanism.step(response)
        said.append(type(step).__name__)
        match step:
            case Challenge(text):
                assert text.isascii()
            case CheckPassword(authzid, login, password):
                assert login
                assert password
                assert "\0" not in authzid + login + password
            case ScramFinished(ok=ok):
                assert not ok, "somebody got in without the password"
            case Failed():
                pass
        if not isinstance(step, Challenge):
            break
    return name, *said[:4]


def _check_unchecked(data: bytes, rnd: random.Random) -> object:
    """Any password is right, so what must hold is that a name comes out, safe to log and to name an inbox by."""
    name = rnd.choice(UNCHECKED.names)
    mechanism = UNCHECKED.make(name, scram_keys=_lookup, nonce="server")
    assert mechanism is not None
    said = []
    for response in [None, *data.split(b"\n")] if rnd.random() < 0.5 else data.split(b"\n"):
        step = mechanism.step(response)
        said.append(type(step).__name__)
        if isinstance(step, CheckPassword):
            assert step.login
            assert step.login.isprintable()
            assert step.authzid == ""
        if not isinstance(step, Challenge):
            break
    return name, *said[:4]


def _check_client(data: bytes, rnd: random.Random) -> object:
    clients = (
        PlainClient("ana", "x"),
        LoginClient("ana", "x"),
        ScramClient("ana", "pencil", "client", channel_binding=("tls-exporter", b"x"), server_offers_plus=True),
    )
    client = rnd.choice(clients)
    client.initial_response()
    said = []
    for challenge in data.split(b"\n"):
        answer = client.respond(challenge)
        said.append(answer is None)
        if answer is None:
            break
    assert not isinstance(client, ScramClient) or not client.is_complete, "a server proved what it cannot know"
    return type(client).__name__, tuple(said)


def _check_prep(data: bytes, rnd: random.Random) -> object:
    text = data.decode("utf-8", "replace")
    try:
        prepared = saslprep(text)
    except PrepError as error:
        return str(error)
    assert saslprep(prepared) == prepared, "not the same when prepared again"
    return text == prepared, text.isascii()


class _AnyKey(BearerTokens):
    """Takes every signature, so that what is signed is read."""

    def __init__(self) -> None:
        super().__init__(_KEY, issuer="i", audience="a", claim="sub")
        self._keys = [("EdDSA", lambda signature, signed: True)]


def _check_bearer(data: bytes, rnd: random.Random) -> object:
    parsed = parse_bearer(data)
    if parsed is not None:
        assert parse_bearer(b"n,,\x01auth=Bearer " + parsed.token.encode() + b"\x01\x01") is not None
    text = data.decode("utf-8", "replace")
    claims = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    said = []
    for tokens, token in ((_REAL, text), (_ANY, text), (_ANY, f"eyJhbGciOiJFZERTQSJ9.{claims}.")):
        try:
            login = tokens.login_of(token, 1_000.0)
        except TokenError as error:
            said.append(str(error))
        else:
            assert tokens is _ANY
            assert login.isprintable()
            said.append("")
    return parsed is None, tuple(said)


def _bounded() -> None:
    """Keep a hostile iteration count from being all that is measured."""
    scram.MAX_ITERATIONS = 5_000


_KEY = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
"""That of RFC 8032 section 7.1, whose private half everybody knows and nothing here signs with."""
_REAL, _ANY = BearerTokens(_KEY, issuer="i", audience="a", claim="sub"), _AnyKey()
_bounded()
_FIRST = b"n,,n=ana,r=client"
_FINAL = b"c=biws,r=clientserver,p=" + base64.b64encode(b"\0" * 32)
_WORDS = [
    b"n,,",
    b"y,,",
    b"p=tls-exporter,,",
    b"n=",
    b"r=",
    b"c=",
    b"p=",
    b"s=",
    b"i=",
    b"v=",
    b"e=",
    b",",
    b"=",
    b"=2C",
    b"=3D",
    b"\0",
    b"\n",
    b"a=",
    b"biws",
    b"\xc3\xbc",
    b"client",
    b"4096",
    b"0",
    b"\xff",
]

TARGETS = [
    Target(
        "sasl_server",
        _check_server,
        [_FIRST + b"\n" + _FINAL, b"\0ana\0secret", b"x\0ana\0secret", b"ana\nsecret", b"p=tls-exporter,,n=ana,r=client\n" + _FINAL, b"y,,n=a=2Cb,r=x"],
        _WORDS,
        [(b"n,,n=", b"a", b",r=x"), (b"", b"\0", b""), (b"n,,n=", b"=2C", b",r=x"), (b"n,,n=", "é".encode(), b",r=x"), (_FIRST + b"\nc=", b"A", b",r=x,p=x")],
    ),
    Target(
        "sasl_unchecked",
        _check_unchecked,
        [b"\0ana\0secret", b"ana\nsecret", b"ana b913a602c7eda7a495b4e6e7334d3890", b"user=ana\x01auth=Bearer abc\x01\x01", b"n,a=ana,\x01auth=Bearer abc\x01\x01", b"sirhc"],
        [*_WORDS, b"user=", b"\x01", b"auth=Bearer ", b" ", b"b913a602c7eda7a495b4e6e7334d3890"],
        [(b"user=", b"a", b"\x01auth=Bearer x\x01\x01"), (b"", b" ", b" b913a602c7eda7a495b4e6e7334d3890"), (b"user=a\x01auth=Bearer ", b" ", b"\x01\x01")],
    ),
    Target("sasl_client", _check_client, [b"r=clientserver,s=c2FsdA==,i=4096\nv=" + base64.b64encode(b"\0" * 32), b"\n", b"Username:\nPassword:"], _WORDS, [(b"r=client", b"x", b",s=c2FsdA==,i=1"), (b"r=client,s=", b"A", b",i=1")]),
    Target(
        "sasl_bearer",
        _check_bearer,
        [b"n,a=ana,\x01host=x\x01auth=Bearer abc\x01\x01", b"eyJhbGciOiJFZERTQSJ9.e30.AAAA", b'{"iss":"i","aud":"a","exp":2000,"sub":"ana"}', b'{"iss":"i","aud":["a"],"exp":1e3,"nbf":0,"sub":"x"}'],
        [b"n,", b"a=", b",", b"\x01", b"auth=", b"Bearer ", b"=", b"=2C", b".", b"eyJhbGciOiJFZERTQSJ9", b"e30", b"{", b"}", b"[", b"]", b'"', b":", b"1e400", b"null", b"NaN", b'"exp":', b'"sub":', b"-1", b"true", b"\xff"],
        [(b"n,,\x01auth=Bearer ", b"a", b"\x01\x01"), (b"n,,", b"\x01a=b", b"\x01\x01"), (b"", b"[", b""), (b'{"a":', b'{"a":', b"1"), (b"a.", b"a", b".b"), (b"", b".", b"")],
    ),
    Target("sasl_prep", _check_prep, [text.encode() for text in ("ana", "\u00aa", "IX\u00ad", "\u0627\u0031", "\u0627\u0628", "\u2168", "\u1e9b\u0323")], [text.encode() for text in ("\u00ad", "\u0627", "\u05d0", "\u0301", "\u212b", "\u00a0", "\u200b", "\ufdfa", "\u0345", "a", " ", "\ud55c", "\u1100", "\u0378")], [(b"", "\u0301".encode(), b""), (b"", "\ufdfa".encode(), b""), (b"", b"\xcc\xa7\xcc\x81", b"")], 8_192),
]  # fmt: skip
