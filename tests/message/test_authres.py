"""Authentication-Results."""

import pytest

from appliance.message.authres import (
    MethodResult,
    authserv_id,
    build_authentication_results,
    merged_results,
    parse_results,
    without_claims_of,
)
from appliance.message.header import HeaderSection


def test_results_stand_one_per_line() -> None:
    """RFC 8601 section 2.2; values that are no token are quoted."""
    results = [
        MethodResult("spf", "pass", (("smtp.mailfrom", "a@b.example"),)),
        MethodResult("dkim", "fail", (("header.d", "b; example\r\n"),), "bad signature"),
    ]
    expected = (
        b"Authentication-Results: mail.example.com;\r\n\tspf=pass smtp.mailfrom=a@b.example;\r\n"
        b'\tdkim=fail reason="bad signature" header.d="b; example"\r\n'
    )
    assert expected == build_authentication_results("mail.example.com", results)
    assert b"Authentication-Results: mail.example.com;\r\n\tnone\r\n" == build_authentication_results("mail.example.com", [])


def test_claims_to_be_us_are_removed() -> None:
    """Only ours may say it is ours (RFC 8601 section 5)."""
    section = HeaderSection(
        b"Authentication-Results: (c) Mail.Example.com; spf=pass\r\nAuthentication-Results: other.example; spf=pass\r\n"
        b'Authentication-Results: "mail.example.com" 1; none\r\nA: 1\r\n\r\n'
    )
    assert b"Authentication-Results: other.example; spf=pass\r\nA: 1\r\n\r\n" == without_claims_of(section, "mail.example.com").to_bytes()
    assert "" == authserv_id(b"; x")


def test_results_are_read() -> None:
    """Comments, versions, quoted values and folding; what is no method is left out."""
    value = (
        b'mx.example.org 1; spf=pass (fine; really) smtp.mailfrom=a@example.com;\r\n\tdkim/1 = fail reason="bad; \\"very\\"" '
        b"header.d=Example.com header.s=sel; nonsense; DMARC=pass header.from=example.com;"
    )
    expected = (
        MethodResult("spf", "pass", (("smtp.mailfrom", "a@example.com"),)),
        MethodResult("dkim", "fail", (("header.d", "Example.com"), ("header.s", "sel")), 'bad; "very"'),
        MethodResult("dmarc", "pass", (("header.from", "example.com"),)),
    )
    assert ("mx.example.org", expected) == parse_results(value)


@pytest.mark.parametrize("value", [b"", b";", b"a; none", b'"unclosed; spf=pass', b"((((", b"a; =b; c=; spf"])
def test_what_cannot_be_read_is_no_result(value: bytes) -> None:
    """Nothing raises."""
    assert () == parse_results(value)[1]


def test_what_is_written_is_read_back() -> None:
    """Building and reading are inverse for what we write."""
    results = (
        MethodResult("dkim", "fail", (("header.d", "example.com"), ("header.b", "a/b+c=")), "the body; changed"),
        MethodResult("arc", "none"),
    )
    field = build_authentication_results("mx.example.org", results)
    assert ("mx.example.org", results) == parse_results(field.partition(b":")[2])


def test_findings_of_one_server_are_merged() -> None:
    """For the ARC set that we add; those of others stay out."""
    section = HeaderSection(
        b"Authentication-Results: mx.example.org; spf=pass (ok)\r\nAuthentication-Results: other.example; spf=fail\r\n"
        b"authentication-results: MX.example.org;\r\n dkim=pass\r\n\r\n"
    )
    assert "spf=pass (ok);\r\n\tdkim=pass" == merged_results(section, "mx.example.org")
    assert "none" == merged_results(section, "nobody.example")
