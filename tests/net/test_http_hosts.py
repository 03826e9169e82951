"""Names that a stranger's DNS can claim are told from those it cannot."""

import pytest

from appliance.net.http_hosts import is_private_name


@pytest.mark.parametrize(
    "host", ["", "localhost", "127.0.0.1", "192.168.1.9", "[::1]", "mailcatcher", "mail.localhost", "host.docker.internal", "pi.lan."]
)
def test_private(host: str) -> None:
    """Addresses, names without a dot and special-use domains."""
    assert is_private_name(host)


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "1.2.3.4.5", "a.xlocal", "rebind.dev"])
def test_public(host: str) -> None:
    """Everything that the public DNS may answer."""
    assert not is_private_name(host)
