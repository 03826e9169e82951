"""What single texts must look like, where a file does not bring it up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.kinds import CHECKS, split_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:25", ("0.0.0.0", 25)),
        ("[::]:25", ("::", 25)),
        ("localhost:0", ("localhost", 0)),
        ("mail.example.com:65535", ("mail.example.com", 65_535)),
        ("unix:/run/lmtp", ("unix:/run/lmtp", 0)),
    ],
)
def test_listening_addresses_are_split(text: str, expected: tuple[str, int]) -> None:
    """Host and port, an IPv6 address without its brackets."""
    assert split_listen(text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("account", "", "is empty"),
        ("account", "a..b", "cannot be a user name"),
        ("account", "../x", "cannot be a user name"),
        ("account", ".a", "cannot be a user name"),
        ("account", "a.", "cannot be a user name"),
        ("account", "a" * 65, "cannot be a user name"),
        ("account", "joão", "cannot be a user name"),
        ("address", "ana", "is not a full address"),
        ("address", "a b@example.com", "cannot stand before the @"),
        ("address", "a@-x", "is not a domain name"),
        ("host", "2001:db8::1", "write an address in square brackets"),
        ("capability", "AUTH PLAIN", "is not an IMAP capability"),
        ("password", "{PLAIN}", "is empty after {PLAIN}"),
        ("password", "$argon2id$v=19$m=1,t=1,p=1$a$b nonsense", "is not a hash"),
        ("route", "..example", "is not a domain name"),
        ("server", "192.0.2.1:0", "is not a name server's address"),
        ("folder", "/x", "cannot be a folder name"),
        ("listen", "25", "write HOST:PORT, as in 127.0.0.1:25"),
        ("listen", "example.com", "write HOST:PORT, as in example.com:25"),
    ],
)
def test_what_is_wrong_is_said(kind: str, text: str, words: str) -> None:
    """Each sentence names the fault."""
    assert words in CHECKS[kind](text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("account", "ana.silva-2_x"),
        ("address", '"a b"@example.com'),
        ("address", "joão@köln.example"),
        ("address", "ana@[192.0.2.1]"),
        ("host", "[IPv6:2001:db8::1]"),
        ("route", ".example"),
        ("server", "192.0.2.53"),
        ("server", "[2001:db8::53]:5353"),
        ("network", "192.0.2.1"),
        ("ip", "::1"),
        ("folder", "Gesendete/Elemente"),
        ("path", "/x y"),
        ("password", "{PLAIN}a b"),
    ],
)
def test_what_is_right_passes(kind: str, text: str) -> None:
    """No complaint."""
    assert CHECKS[kind](text) == ""


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=40))
def test_every_check_takes_any_text(kind: str, text: str) -> None:
    """The outcome is a sentence or nothing."""
    assert isinstance(CHECKS[kind](text), str)
