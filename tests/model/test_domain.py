"""Domain names in the form in which they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.domain import canonical_domain, canonical_literal, is_domain


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("Example.COM", "example.com"),
        ("Köln.example", "xn--kln-sna.example"),
        ("xn--KLN-sna.example", "xn--kln-sna.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("a..ö", "a..ö"),
        ("", ""),
    ],
)
def test_one_domain_has_one_form(domain: str, expected: str) -> None:
    """Lower case and A-labels; what cannot be a domain stays what it is."""
    assert canonical_domain(domain) == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("example.com", True),
        ("lan", True),
        ("köln.example", True),
        ("a-b.example", True),
        ("_dmarc.example", False),
        ("a_b.example", True),
        ("-a.example", False),
        ("a-.example", False),
        ("a..b", False),
        ("example.com.", False),
        ("192.0.2.1", False),
        ("", False),
        ("a b", False),
        ("x" * 64, False),
        (".".join(["x" * 63] * 4), False),
    ],
)
def test_domains_are_told_from_other_texts(domain: str, expected: bool) -> None:
    """RFC 1035 section 2.3.4 gives the lengths; an IPv4 address is none."""
    assert is_domain(domain) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:DB8:0:0::1]", "2001:db8::1"),
        ("[ipv6:::1]", "::1"),
        ("[x]", None),
        ("192.0.2.1", None),
        ("[192.0.2.1", None),
    ],
)
def test_address_literals_have_their_shortest_form(literal: str, expected: str | None) -> None:
    """RFC 5321 section 4.1.3."""
    assert canonical_literal(literal) == expected


@given(st.text(max_size=30))
def test_canonical_form_is_final(text: str) -> None:
    """Doing it twice changes nothing, for any domain."""
    if is_domain(text):
        assert canonical_domain(canonical_domain(text)) == canonical_domain(text)
        assert is_domain(canonical_domain(text))
    canonical_literal(text)
