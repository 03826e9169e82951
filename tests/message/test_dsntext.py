"""The words of reports."""

import pytest

from appliance.message.dsntext import Language, explanation, plain_date, words
from appliance.model.outcome import Action, Outcome


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("5.1.1", "There is no mailbox"),
        ("5.1.77", "There is something wrong with the address"),
        ("5.9.9", "The other server refuses the message."),
        ("4.4.1", "The other server does not answer"),
        ("", "The other server refuses the message."),
    ],
)
def test_the_closest_code_explains(status: str, expected: str) -> None:
    """From the particular to the class."""
    assert explanation(Outcome(Action.BOUNCED, status, ""), "en").startswith(expected)


def test_some_actions_explain_themselves() -> None:
    """Relayed without promise, expanded."""
    assert "no confirmations" in explanation(Outcome(Action.RELAYED, "2.0.0", ""), "en")


def test_both_languages_say_the_same_things() -> None:
    """No sentence is missing in one of them."""
    english, portuguese = words("en"), words("pt")
    assert english.reasons.keys() == portuguese.reasons.keys()
    assert english.lead.keys() == portuguese.lead.keys() == english.close.keys() == portuguese.close.keys()


@pytest.mark.parametrize(("language", "expected"), [("en", "2 February 2026, 02:40 UTC"), ("pt", "2 de fevereiro de 2026, 02:40 UTC")])
def test_dates_are_for_people(language: Language, expected: str) -> None:
    """In their language, with the zone said."""
    assert expected == plain_date(1_770_000_000, language)
