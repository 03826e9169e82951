"""The grammar of SPF records where the suite leaves doubts, and macros."""

import pytest

from appliance.policy.spf_macro import check_domain_spec, expand, fit_name
from appliance.policy.spf_record import SpfSyntaxError, is_spf_record, parse_spf


@pytest.mark.parametrize(("text", "expected"), [("v=spf1", True), ("V=SPF1 -all", True), ("v=spf10 -all", False), ("v=spf2.0/pra", False)])
def test_spf_records_are_told_by_their_version(text: str, expected: bool) -> None:
    """RFC 7208 section 4.5."""
    assert expected == is_spf_record(text)


def test_prefix_lengths_are_taken_off_the_end() -> None:
    """Of a domain that may have slashes inside its macros."""
    first, second, third = parse_spf("v=spf1 a:%{d1/}.example.com/24//64 mx//48 ~a:a.example/0").mechanisms
    assert ("%{d1/}.example.com", 24, 64) == (first.domain, first.prefix4, first.prefix6)
    assert ("", 32, 48) == (second.domain, second.prefix4, second.prefix6)
    assert ("~", "a.example", 0, 128) == (third.qualifier, third.domain, third.prefix4, third.prefix6)


@pytest.mark.parametrize(
    "term",
    ["a/33", "a//129", "a/024", "a:example.com/", "ip4:1.2.3.4/", "ip4:1.2.3.4/01", "ip6:fe80::1%eth0", "ip4", "ip4=1.2.3.4.5:", "all:x", "+exp=a.b",
     "include", "exists:", "ptr:localhost", "foo", "exp=a.b exp=a.b", "redirect=", "a:%{d0}.x", "-", "moo=%", "é", "ip4:1.2.3.4/99999999999999999999"],
)  # fmt: skip
def test_syntax_errors_are_found(term: str) -> None:
    """Anywhere in the record, before anything is asked."""
    if term == "ip4=1.2.3.4.5:":
        assert () == parse_spf(f"v=spf1 {term}").mechanisms
        return
    with pytest.raises(SpfSyntaxError):
        parse_spf(f"v=spf1 -all {term}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{d2r}", "example.email"),
        ("%{dr-}", "email.example.com"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{L}%%%_%-", "strong-bad% %20"),
    ],
)
def test_macros_expand(text: str, expected: str) -> None:
    """The examples of RFC 7208 section 7.4."""
    values = {"s": "strong-bad@email.example.com", "l": "strong-bad", "d": "email.example.com"}
    assert expected == expand(text, values)


@pytest.mark.parametrize(("text", "expected"), [("%{d}", True), ("a.%%", False), ("a.b%_", False), ("a", False), ("a.1", False), ("a.b.", True), ("a.x-9", True), ("%{i}.b", True), ("a.%{d}b", False), ("", False)])  # fmt: skip
def test_domain_specs_end_in_a_label_or_macro(text: str, expected: bool) -> None:
    """RFC 7208 section 7.1."""
    assert expected == check_domain_spec(text)


def test_long_names_lose_labels_on_their_left() -> None:
    """And what cannot become a name is none."""
    assert "b." * 100 + "example" == fit_name("a" * 60 + "." + "b." * 100 + "example.")
    assert "" == fit_name("a" * 300)
    assert "" == fit_name("a..b")
