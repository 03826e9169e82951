"""Which inbox a message goes to."""

import pytest

from appliance.model.caught import CaughtEnvelope
from appliance.model.ids import AccountName
from appliance.policy.caught_inbox import account_of_inbox, inbox_of

ENVELOPE = CaughtEnvelope(reverse_path="a@b.test", recipients=("Ana@App.test", "bob@other.test"), username="Run/../7")


@pytest.mark.parametrize(("rule", "expected"), [("", ""), ("user", "run_.._7"), ("recipient", "ana@app.test"), ("domain", "app.test")])
def test_a_rule_names_the_inbox(rule: str, expected: str) -> None:
    """By login, by the first recipient or by its domain, safe as the name of a directory."""
    assert expected == inbox_of(rule, ENVELOPE)  # type: ignore[arg-type]


def test_the_inbox_without_a_name_is_everybodys() -> None:
    """It has the catcher's one account."""
    assert ["dev", "run7"] == [account_of_inbox(name, AccountName("dev")) for name in ("", "Run7")]
