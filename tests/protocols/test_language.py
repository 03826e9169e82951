"""Choosing a language, and that there are words for everything."""

import pytest

from appliance.model import errors
from appliance.protocols.language import LANGUAGE_NAMES, STORE_TEXTS_PT, Words, choose_language


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("en", "en"),
        ("PT", "pt"),
        ("pt-BR", "pt"),
        ("en-boont", "en"),
        ("*", "pt"),
        ("i-default", "en"),
        ("de", None),
        ("", None),
        ("p", None),
    ],
)
def test_choose_language(wanted: str, expected: str | None) -> None:
    """A range is cut at its end until it fits (RFC 4647 section 3.4)."""
    assert expected == choose_language(wanted, "pt")


def test_every_store_error_has_portuguese_words() -> None:
    """What a kind of failure says to people is there in both languages, and nothing else."""
    kinds = {kind.client_text for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ApplianceError)}
    assert kinds == STORE_TEXTS_PT.keys()


def test_words() -> None:
    """Values go in whatever the language; what has no translation stays English; braces without values are text."""
    words = Words({"{count} octets": "{count} octetos"})
    assert "3 octets" == words("{count} octets", count=3)
    words.language = "pt"
    assert "3 octetos" == words("{count} octets", count=3)
    assert "{unknown}" == words("{unknown}")
    assert {"en", "pt"} == LANGUAGE_NAMES.keys()
