"""Refusals that are about us, and those that are about the message."""

import pytest

from appliance.model.outcome import Action, Outcome
from appliance.policy.refusal import refuses_our_address


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        ("5.7.1", "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", True),
        ("5.7.25", "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup", True),
        (
            "5.7.1",
            "550 5.7.1 [192.0.2.1] Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP address",
            True,
        ),
        ("5.7.606", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", True),
        ("5.0.0", "554 Your IP is listed in our blocklist", True),
        ("4.7.0", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred: your server's reverse DNS is missing", True),
        ("5.1.1", "550 5.1.1 The email account that you tried to reach does not exist", False),
        ("5.7.1", "550 5.7.1 Relaying denied", False),
        ("5.2.2", "552 5.2.2 mailbox full, your server is listed in the manual", False),
        ("5.7.1", "", False),
        ("4.4.1", "", False),
    ],
)
def test_words_of_servers(status: str, diagnostic: str, expected: bool) -> None:
    """What big providers and users of block lists say."""
    action = Action.BOUNCED if status.startswith("5") else Action.DEFERRED
    assert expected is refuses_our_address(Outcome(action, status, "reason", diagnostic))


def test_what_was_taken_is_no_refusal() -> None:
    """Whatever its words."""
    assert not refuses_our_address(Outcome(Action.RELAYED, "2.7.25", "", "250 your ip is listed"))
