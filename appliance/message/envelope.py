"""The IMAP ENVELOPE of a header section.

Owns which fields it is made of, its defaults and its odd cases. Encoded words
stay as they are; clients decode them.

Fails: never.
Does not: decode, or show more than ``MAX_VALUE`` bytes of a field.

Sources: RFC 3501 section 7.4.2, RFC 9051 section 7.5.2; MISSING_DOMAIN and
MISSING_MAILBOX are Dovecot's, since NIL there would mean a group.
"""

from appliance.message.address import Address, Group, parse_address_list
from appliance.message.header import first_values
from appliance.message.imaptext import nstring, string

__all__ = ["COMBINED_FIELDS", "ENVELOPE_FIELDS", "envelope_of_values", "render_envelope"]

MAX_VALUE = 65_536
ENVELOPE_FIELDS = frozenset({b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id"})
COMBINED_FIELDS = frozenset({b"to", b"cc", b"bcc"})
"""RFC 5322 section 4.5.3: several of these count as one, their lists joined by a comma."""
_GROUP_END = b"(NIL NIL NIL NIL)"


def render_envelope(header: bytes) -> bytes:
    """Return the parenthesised ENVELOPE of a header section."""
    return envelope_of_values(first_values(header, ENVELOPE_FIELDS, combined=COMBINED_FIELDS))


def envelope_of_values(values: dict[bytes, bytes]) -> bytes:
    """Return the ENVELOPE of fields already collected: lower-case name to unfolded value."""
    get = values.get
    sender_default = _address_list(get(b"from"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(_capped(get(b"date"))),
        nstring(_capped(get(b"subject"))),
        sender_default,
        _address_list(get(b"sender"), sender_default),
        _address_list(get(b"reply-to"), sender_default),
        _address_list(get(b"to")),
        _address_list(get(b"cc")),
        _address_list(get(b"bcc")),
        nstring(_capped(get(b"in-reply-to"))),
        nstring(_capped(get(b"message-id"))),
    )


def _capped(value: bytes | None) -> bytes | None:
    return value[:MAX_VALUE] if value else value


def _address_list(value: bytes | None, default: bytes = b"NIL") -> bytes:
    if not value:
        return default
    pieces: list[bytes] = []
    for entry in parse_address_list(value[:MAX_VALUE]):
        if isinstance(entry, Group):
            pieces.append(b"(NIL NIL %b NIL)" % string(entry.name))
            pieces.extend([_address(member) for member in entry.members])
            pieces.append(_GROUP_END)
        else:
            pieces.append(_address(entry))
    return b"(" + b"".join(pieces) + b")" if pieces else default


def _address(address: Address) -> bytes:
    return b"(%b %b %b %b)" % (
        nstring(address.name or None),
        nstring(address.route or None),
        string(address.local_part or b"MISSING_MAILBOX"),
        string(address.domain or b"MISSING_DOMAIN"),
    )
