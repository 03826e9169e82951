"""The base subject."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.message.subject import base_subject


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("Hello", "Hello", False),
        ("", "", False),
        ("  two \t blanks ", "two blanks", False),
        ("Re: Hello", "Hello", True),
        ("re : Hello", "Hello", True),
        ("RE:RE:Fwd: Fw: Hello", "Hello", True),
        ("Re[2]: Hello", "Hello", True),
        ("[list] Re: [list] Hello", "Hello", True),
        ("[one] [two] Hello", "Hello", False),
        ("[one][two]", "[two]", False),
        ("[one]", "[one]", False),
        ("Re: [one]", "[one]", True),
        ("Hello (fwd)", "Hello", True),
        ("Hello (FWD) (fwd) ", "Hello", True),
        ("[fwd: Hello]", "Hello", True),
        ("[Fwd: [list] Re: Hello (fwd)]", "Hello", True),
        ("[fwd: [fwd: Hello]]", "Hello", True),
        ("[fwd: Hello] more", "more", False),
        ("Re:", "", True),
        ("(fwd)", "", True),
        ("Regarding: Hello", "Regarding: Hello", False),
        ("Re [x: Hello", "Re [x: Hello", False),
        ("AW: Hello", "AW: Hello", False),
        ("[a[b]] Hello", "[a[b]] Hello", False),
    ],
)
def test_marks_are_taken_off(subject: str, base: str, is_reply: bool) -> None:
    """Each rule of RFC 5256 section 2.1 and what it leaves."""
    assert (base, is_reply) == base_subject(subject)


@given(st.lists(st.sampled_from(["re", "fw", "fwd", ":", "[", "]", " ", "x", "(fwd)", "[fwd:", "[a]"]), max_size=12))
def test_a_base_subject_is_its_own_base(pieces: list[str]) -> None:
    """Nothing is left that could be taken off."""
    base = base_subject("".join(pieces)).text
    assert (base, False) == base_subject(base)
