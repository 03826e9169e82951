"""METADATA, with values and without."""

from appliance.protocols.imap.metadata_responses import metadata_news, metadata_values


def test_values() -> None:
    """Strings where they can be, literals for line ends, binary literals for NUL, NIL for nothing."""
    values = {"/private/a": b"x y", "/private/b": b"1\r\n", "/private/c": b"\0", "/private/d": None, "/private/e e": b""}
    assert (
        b'* METADATA Lists (/private/a "x y" /private/b {3}\r\n1\r\n /private/c ~{1}\r\n\0 /private/d NIL "/private/e e" "")\r\n'
        == metadata_values("Lists", values)
    )


def test_news() -> None:
    """Names alone; the server is the empty string."""
    assert b'* METADATA "" /shared/comment\r\n' == metadata_news("", ["/shared/comment"])
    assert b"* METADATA &AOk- /private/a /private/b\r\n" == metadata_news("é", ["/private/a", "/private/b"])
