"""What a client says of itself."""

import pytest

from appliance.policy.client_checks import bad_helo


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [("192.0.2.1", True), ("127.0.0.1", False), ("::1", False), ("::ffff:127.0.0.1", False), ("fe80::1%eth0", True), ("unix", False)],
)
def test_only_programs_of_this_machine_say_our_name(address: str, is_refused: bool) -> None:
    """Cron's mail comes over the loopback address, also where no network is trusted."""
    assert is_refused == bool(bad_helo("Mail.example.com.", "own", ["mail.example.com"], address))
