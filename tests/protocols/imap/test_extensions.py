"""What ENABLE can name."""

from appliance.protocols.imap.extensions import IMPLIED, WORDS, Extension


def test_words_are_in_capitals() -> None:
    """As the grammar delivers them."""
    assert Extension.IMAP4REV2 is WORDS["IMAP4REV2"]
    assert len(Extension) == len(WORDS)


def test_quick_resynchronisation_needs_modification_sequences() -> None:
    """RFC 7162 section 3.2.3."""
    assert {Extension.CONDSTORE} == IMPLIED[Extension.QRESYNC]
