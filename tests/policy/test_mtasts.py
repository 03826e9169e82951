"""MTA-STS: the record that announces a policy, the policy, and the hosts that it covers."""

import pytest

from appliance.policy.mtasts import StsMode, StsPolicy, StsSyntaxError, parse_policy, parse_record, render_policy

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=spf1 -all", "v=STSv1; id=1"], "1"),
        (["v=STSv1; ext=x; id=a1"], "a1"),
        (["v=STSv1; id=1", "v=STSv1; id=2"], None),
        (["v=STSv1"], None),
        (["v=STSv1; id=not-alphanumeric"], None),
        (["v=STSv2; id=1"], None),
        ([], None),
    ],
)
def test_record(texts: list[str], expected: str | None) -> None:
    """RFC 8461 section 3.1: exactly one record, and its id."""
    assert expected == parse_record(texts)


def test_the_policy_of_the_rfc() -> None:
    """RFC 8461 section 3.2, its example; and back again."""
    expected = StsPolicy(StsMode.ENFORCE, ("mail.example.com", "*.example.net", "backupmx.example.com"), 604_800)
    assert expected == parse_policy(POLICY)
    assert expected == parse_policy(POLICY.replace(b"\r\n", b"\n"))
    assert expected == parse_policy(render_policy(expected))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        ("evil.example", False),
    ],
)
def test_hosts(host: str, expected: bool) -> None:
    """Section 4.1: a wildcard stands for one whole label."""
    assert expected is parse_policy(POLICY).covers(host)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"version: STSv1", b"version: STSv2"),
        (b"version: STSv1\r\n", b""),
        (b"mode: enforce", b"mode: strict"),
        (b"max_age: 604800", b"max_age: soon"),
        (b"max_age: 604800\r\n", b""),
        (b"mx: mail.example.com", b"mx: not a host"),
        (b"mode: enforce", b"mode enforce"),
        (b"example.com", b"\xff"),
        (b"max_age", b"x" * 70_000 + b": 1\r\nmax_age"),
        (b"mx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\n", b""),
    ],
)
def test_what_is_no_policy(old: bytes, new: bytes) -> None:
    """Each is refused with a reason."""
    assert old in POLICY
    with pytest.raises(StsSyntaxError):
        parse_policy(POLICY.replace(old, new, 1))


def test_a_policy_that_takes_itself_back_needs_no_hosts() -> None:
    """Section 8.3: mode none removes a policy; of a field given twice the first counts, unknown ones are left aside."""
    text = b"version: STSv1\nmode: none\nmode: enforce\nnew_field: x\nmax_age: 99999999999\n"
    with pytest.raises(StsSyntaxError):
        parse_policy(text)
    assert StsPolicy(StsMode.NONE, (), 31_557_600) == parse_policy(text.replace(b"99999999999", b"9999999999"))
