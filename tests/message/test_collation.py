"""The collation i;unicode-casemap."""

import pytest

from appliance.message.collation import casemap


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello", "hELLO"),
        ("Ação", "AÇÃO"),
        ("Привет", "ПРИВЕТ"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u01c6", "\u01c4"),  # the letter dz with caron, whose title case is a third letter
        ("\uff28\uff49", "hi"),  # full-width forms
    ],
)
def test_texts_that_differ_in_case_or_composition_are_equal(one: str, other: str) -> None:
    """What people call the same word has one key."""
    assert casemap(one) == casemap(other)


def test_the_sharp_s_is_no_double_s() -> None:
    """UnicodeData.txt has no single title case for it, so it stays (RFC 5051 section 2, step 1)."""
    assert casemap("straße") != casemap("strasse")
    assert casemap("straße") == casemap("STRAßE")


def test_an_accented_letter_holds_its_base_letter() -> None:
    """Decomposition makes "resume" a part of what begins with "résume" only where the accent does not stand between."""
    assert casemap("caf") in casemap("café")
    assert casemap("cafe") in casemap("café")
    assert casemap("cafes") not in casemap("cafés")


def test_keys_sort_as_their_texts_should() -> None:
    """Case does not part what belongs together."""
    assert ["", "apple", "Banana", "cherry"] == sorted(["cherry", "Banana", "", "apple"], key=casemap)


def test_hangul_and_half_a_surrogate_pair_stay() -> None:
    """Syllables have no decomposition in UnicodeData.txt; what utf-7 can say and UTF-8 cannot does not raise."""
    assert "한".encode() == casemap("한")
    assert b"\xed\xa0\x80" == casemap("\ud800")


def test_rare_planes_are_mapped_too() -> None:
    """Deseret has case."""
    assert casemap("\U00010428") == casemap("\U00010400")
