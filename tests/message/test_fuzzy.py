"""How well a text fits a few words."""

import pytest

from appliance.message.collation import casemap
from appliance.message.fuzzy import FuzzyQuery


@pytest.mark.parametrize(
    ("wanted", "text", "score"),
    [
        ("break", "a break", 100),
        ("acao", "Ação!", 100),
        ("brea", "a breakfast", 85),
        ("cats", "the cat", 75),
        ("reunião", "reuniões", 0),
        ("hello", "Helo", 60),
        ("hello", "hlelo", 60),
        ("hello", "helllo", 60),
        ("hello", "jello", 60),
        ("hello", "heo", 0),
        ("cat", "bat", 0),
        ("IMAP break", "break", 50),
        ("IMAP break now", "break", 0),
        ("!?", "what!?", 100),
        ("!?", "what", 0),
        ("word", "", 0),
    ],
)
def test_scores(wanted: str, text: str, score: int) -> None:
    """Each kind of likeness, and what is no likeness any more."""
    assert score == FuzzyQuery(casemap(wanted)).score(casemap(text))
