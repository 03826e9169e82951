"""The families of commands, put together."""

from appliance.protocols.imap import verbs


def test_no_verb_is_in_two_families() -> None:
    """The later one would hide the earlier."""
    assert len(verbs.VERBS) == sum(len(family) for family in verbs._FAMILIES)


def test_names_are_in_capitals() -> None:
    """As the reader of heads looks them up."""
    assert [] == [name for name in verbs.VERBS if name != name.upper()]
