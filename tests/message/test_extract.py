"""Codes that a message wants its reader to use."""

import pytest

from appliance.message.extract import find_codes


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your code is 482913. It expires in 10 minutes.", ["482913"]),
        ("Seu código de acesso: 123-456", ["123-456"]),
        ("Verification code\n\n  A1B2C3\n", ["A1B2C3"]),
        ("Your PIN: 2024", ["2024"]),
        ("Invoice 2026/118 over 1234.56 is due", []),
        ("Call +55 11 99999-0000 about order 12345678", []),
        ("no digits", []),
    ],
)
def test_codes_near_a_word_that_says_so(text: str, codes: list[str]) -> None:
    """Neither dates, prices nor telephone numbers."""
    assert codes == find_codes(text)


def test_the_subject_counts() -> None:
    """The likeliest comes first."""
    assert "777888" == find_codes("Order 123456 is on its way, see the code page", "Your login code is 777888")[0]
