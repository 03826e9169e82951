"""What finding, sorting and threading need of a header section, taken from it once.

Owns which fields count, the keys by which they compare, and the hashes that
stand for message identifiers.

Fails: never.
Does not: keep more than ``MAX_TEXT`` octets of text; of a longer header section
``is_whole`` is False, and who looks for text in it must open the message.

Sources: RFC 5256 sections 2.1, 2.2 and 3, RFC 5957 section 3 (display names),
RFC 3501 section 6.4.4 (SENTBEFORE and its like look at the day as it is written).
"""

from array import array
from hashlib import blake2b
from typing import Final, NamedTuple

from appliance.message.address import Address, Group, parse_address_list
from appliance.message.collation import casemap
from appliance.message.date import parse_date
from appliance.message.header import all_values
from appliance.message.msgid import message_ids, parent_ids
from appliance.message.subject import base_subject
from appliance.message.text import decode_header

__all__ = ["MAX_TEXT", "Digest", "digest_header"]

MAX_TEXT: Final = 65_536
_MAX_KEY = 1_000
"""Octets of a sort key; what differs only behind it sorts by place in the mailbox."""
_TEXTS: Final = (b"subject", b"from", b"to", b"cc", b"bcc")
_WANTED: Final = frozenset({*_TEXTS, b"date", b"message-id", b"references", b"in-reply-to"})


class Digest(NamedTuple):
    """``texts``: keys of subject, from, to, cc, bcc; None where there is no such field, several parted by NUL.

    ``sent_s`` and ``sent_day`` are None without a Date that can be read; ``message_id`` is 0 without one, ``parents`` packed.
    """

    texts: tuple[bytes | None, ...]
    is_whole: bool
    sent_s: int | None
    sent_day: int | None
    base: bytes
    is_reply: bool
    from_key: bytes
    to_key: bytes
    cc_key: bytes
    display_from: bytes
    display_to: bytes
    message_id: int
    parents: bytes


def digest_header(header: bytes) -> Digest:
    """Return the digest of a header section."""
    values = all_values(header, _WANTED)
    first = {name: some[0] for name, some in values.items()}
    texts = tuple(_text(values.get(name)) for name in _TEXTS)
    is_whole = sum(len(text) for text in texts if text) <= MAX_TEXT
    sent = parse_date(first.get(b"date", b""))
    base = base_subject(decode_header(first.get(b"subject", b"")))
    senders, recipients, copies = (_first_address(first.get(name)) for name in (b"from", b"to", b"cc"))
    own = message_ids(first.get(b"message-id", b""))
    parents = parent_ids(first.get(b"references", b""), first.get(b"in-reply-to", b""))
    return Digest(
        texts=texts if is_whole else (None,) * len(texts),
        is_whole=is_whole,
        sent_s=None if sent is None else int(sent.timestamp()),
        sent_day=None if sent is None else sent.date().toordinal(),
        base=casemap(base.text)[:_MAX_KEY],
        is_reply=base.is_reply,
        from_key=_mailbox(senders),
        to_key=_mailbox(recipients),
        cc_key=_mailbox(copies),
        display_from=_display(senders),
        display_to=_display(recipients),
        message_id=_hash(own[0]) if own else 0,
        parents=array("q", map(_hash, parents)).tobytes(),
    )


def _text(values: list[bytes] | None) -> bytes | None:
    return None if values is None else b"\0".join([casemap(decode_header(value)) for value in values])


def _first_address(value: bytes | None) -> Address | Group | None:
    entries = parse_address_list(value[:MAX_TEXT], limit=1) if value else []
    return entries[0] if entries else None


def _mailbox(entry: Address | Group | None) -> bytes:
    """Return the key of addr-mailbox of the first address; that of a group is its name (RFC 3501 section 7.4.2)."""
    if entry is None:
        return b""
    return casemap(decode_header(entry.name if isinstance(entry, Group) else entry.local_part))[:_MAX_KEY]


def _display(entry: Address | Group | None) -> bytes:
    """RFC 5957 section 3."""
    if isinstance(entry, Address):
        name = decode_header(entry.name) if entry.name else ""
        if name:
            return casemap(name)[:_MAX_KEY]
        if entry.local_part and entry.domain:
            return casemap(decode_header(entry.local_part + b"@" + entry.domain))[:_MAX_KEY]
    return _mailbox(entry)


def _hash(message_id: bytes) -> int:
    """Return 64 bits that stand for an identifier; nobody finds a second one for them by chance, and 0 is kept for none."""
    return int.from_bytes(blake2b(message_id, digest_size=8).digest(), "big", signed=True) or 1
