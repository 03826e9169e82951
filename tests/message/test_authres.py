"""Authentication-Results."""

from appliance.message.authres import MethodResult, authserv_id, build_authentication_results, without_claims_of
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
