"""METADATA responses, with values and without.

Sources:  RFC 5464 sections 4.4 and 5 (an empty mailbox name is the server).
"""

from collections.abc import Iterable, Mapping

from appliance.protocols.imap.responses import astring, mailbox_name, string

__all__ = ["metadata_news", "metadata_values"]


def _target(name: str, *, utf8: bool) -> bytes:
    return mailbox_name(name, utf8=utf8) if name else b'""'


def _value(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    return b"~{%d}\r\n%b" % (len(value), value) if b"\x00" in value else string(value)


def metadata_values(name: str, values: Mapping[str, bytes | None], *, utf8: bool = False) -> bytes:
    """Return METADATA with entries and values (RFC 5464 section 4.4.1)."""
    pairs = b" ".join(b"%b %b" % (astring(entry.encode("ascii")), _value(value)) for entry, value in values.items())
    return b"* METADATA %b (%b)\r\n" % (_target(name, utf8=utf8), pairs)


def metadata_news(name: str, entries: Iterable[str], *, utf8: bool = False) -> bytes:
    """Return METADATA with the names of entries that changed (RFC 5464 section 4.4.2)."""
    return b"* METADATA %b %b\r\n" % (_target(name, utf8=utf8), b" ".join(astring(entry.encode("ascii")) for entry in entries))
