"""Trace fields."""

import pytest

from appliance.message.received import TlsFacts, build_delivered_to, build_received, build_return_path, with_protocol


def received(
    helo: str = "mx.example.org", address: str = "192.0.2.1", name: str = "", recipient: str = "", tls: TlsFacts | None = None
) -> str:
    return build_received(
        helo=helo,
        client_address=address,
        client_name=name,
        hostname="mail.example.com",
        protocol="ESMTPS",
        queue_id="ABC",
        now_s=1_770_000_000,
        recipient=recipient,
        tls=tls,
    ).decode()


def unfolded(field: str) -> str:
    return field.replace("\r\n\t", " ")


def test_a_received_field_says_who_how_and_when() -> None:
    """All clauses in the order of RFC 5321 section 4.4, lines below 78."""
    field = received(name="mx.example.org", recipient="ana@example.com", tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    assert (
        "Received: from mx.example.org (mx.example.org [192.0.2.1]) by mail.example.com with ESMTPS id ABC for <ana@example.com> "
        "tls TLS_AES_256_GCM_SHA384 (TLSv1.3); Mon, 2 Feb 2026 02:40:00 +0000\r\n"
    ) == unfolded(field)
    assert all(len(line) < 78 for line in field.split("\r\n"))


@pytest.mark.parametrize("helo", ["", "evil\r\nBcc: x", "a b", "(x", "[192.0.2.9]", "a..b", "x;y", "a" * 300, "-x"])
def test_a_hostile_name_does_not_get_into_the_field(helo: str) -> None:
    """What is no domain is replaced by the address."""
    assert unfolded(received(helo)).startswith("Received: from [192.0.2.1] ([192.0.2.1]) by mail.example.com with")


def test_ipv6_has_its_tag() -> None:
    """RFC 5321 section 4.1.3; a scope is no part of it."""
    assert "[IPv6:fe80::1])" in received(address="fe80::1%eth0")
    assert "[0.0.0.0]" in received(address="")


@pytest.mark.parametrize(
    ("cipher", "expected"),
    [
        ("ECDHE-RSA-AES256-GCM-SHA384", "tls TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 (TLSv1.2);"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "tls TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 (TLSv1.2);"),
        ("ECDHE-RSA-AES128-SHA256", "tls TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 (TLSv1.2);"),
        ("PSK-WHATEVER", "id ABC (TLSv1.2);"),
    ],
)
def test_ciphers_have_their_registered_names(cipher: str, expected: str) -> None:
    """RFC 8314 section 4.3 wants the registry's, OpenSSL has its own."""
    assert expected in unfolded(received(tls=TlsFacts("TLSv1.2", cipher)))


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        ("SMTP", {"extended": False}),
        ("ESMTP", {}),
        ("ESMTPS", {"tls": True}),
        ("ESMTPSA", {"tls": True, "authenticated": True}),
        ("UTF8SMTPA", {"authenticated": True, "smtputf8": True}),
        ("LMTP", {"lmtp": True}),
        ("UTF8LMTPS", {"lmtp": True, "smtputf8": True, "tls": True}),
    ],
)
def test_the_with_clause_is_registered(expected: str, options: dict[str, bool]) -> None:
    """RFC 3848, RFC 6531 section 4.3."""
    assert expected == with_protocol(**options)


def test_addresses_in_trace_fields_are_made_safe() -> None:
    """No line end, no bracket."""
    assert b"Return-Path: <>\r\n" == build_return_path("")
    assert b"Return-Path: <a@bBcc: x>\r\n" == build_return_path("a@b>\r\nBcc: x")
    assert "Delivered-To: á@b\r\n".encode() == build_delivered_to("á@b\n")
