"""SASLprep: one spelling for names and passwords that look the same.

Who stores a password must prepare it with the same function.

Fails: PrepError for what RFC 4013 prohibits.
Sources: RFC 4013 section 2 (a profile of RFC 3454), unassigned code points
allowed as in queries (section 2.5), so that new characters are no lock-out.
"""

import unicodedata

__all__ = ["PrepError", "saslprep"]


class PrepError(ValueError):
    """The string holds what no name or password may."""


def saslprep(text: str) -> str:
    """Return the prepared string. Raises PrepError."""
    if text.isascii():
        if not text.isprintable():
            raise PrepError("a control character")
        return text
    import stringprep

    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if any(is_prohibited(c) for c in prepared for is_prohibited in prohibited):
        raise PrepError("a prohibited character")
    # RFC 3454 section 6: right-to-left text stands alone and at both ends.
    if any(stringprep.in_table_d1(c) for c in prepared) and (
        any(stringprep.in_table_d2(c) for c in prepared)
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise PrepError("mixed directions")
    return prepared
