"""Which inbox a message is in."""

import pytest

from appliance.app.logins import DEV_ACCOUNT
from appliance.model.caught import CaughtEnvelope
from appliance.policy.caught_inbox import EVERYBODY, InboxRule, account_of_inbox, inbox_name, inbox_of

ENVELOPE = CaughtEnvelope(recipients=("Ana@App.test", "bob@other.test"), username="Run/7")


@pytest.mark.parametrize(("rule", "expected"), [("", ""), ("user", "run_7"), ("recipient", "ana@app.test"), ("domain", "app.test")])
def test_inboxes_by_rule(rule: InboxRule, expected: str) -> None:
    """By login, first recipient or its domain; in safe letters."""
    assert expected == inbox_of(rule, ENVELOPE)
    assert "" == inbox_of(rule, CaughtEnvelope())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"run_7", "ana@app.test"}, "run_7"),
        ({"bob@other.test"}, "bob@other.test"),
        ({"other.test"}, "other.test"),
        ({"test"}, "ana@app.test"),
    ],
)
def test_an_inbox_that_was_made_comes_first(made: set[str], expected: str) -> None:
    """By login, by any recipient, by any recipient's domain; then the rule."""
    assert expected == inbox_of("recipient", ENVELOPE, made)


def test_accounts_of_inboxes() -> None:
    """Everybody's inbox is read as one name, and no other inbox has that name."""
    assert DEV_ACCOUNT == EVERYBODY
    assert ["dev", "run7", "dev"] == [account_of_inbox(name) for name in ("", "Run7", "Dev")]
    assert "" == inbox_of("user", CaughtEnvelope(username="DEV"))


def test_names_are_safe_and_stay() -> None:
    """As the name of a directory; a name that is one already does not change."""
    for text in ("../../etc/passwd", "..", ".hidden", "a" * 63 + "..b", "\u00e9 \u00fc", "dev", "Ana+x@b.test", "\0"):
        name = inbox_name(text)
        assert name == inbox_name(name)
        assert not name.startswith(".")
        assert "/" not in name
        assert len(name) <= 64
