"""What this machine is called, and what is another."""

import pytest

from appliance.model.hosts import is_this_machine, plain_address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:7f00:1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("unix", True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("::", False),
        ("::2", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", False),
        ("127.0.0.1.example", False),
        ("127.1", False),
        ("localhost", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_this_machine(host: str, expected: bool) -> None:
    """Loopback in all its spellings and Unix sockets; no name, and nothing that only begins like one."""
    assert expected is is_this_machine(host)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("2001:DB8::1", "2001:db8::1"), ("192.0.2.1", "192.0.2.1")],
)
def test_plain_address(text: str, expected: str) -> None:
    """No scope, no mapping."""
    assert expected == str(plain_address(text))
