"""What Mailpit's clients read, made of what is kept here: summaries, messages, and the message as Mailpit would have stored it.

Mailpit puts fields in front of what it stores (hidden recipients, Return-Path,
Received), and counts and shows them; the bytes themselves are kept without.

Sources: Mailpit's API, as recorded; RFC 5322 section 3.6.7 (trace fields).
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from appliance.message.date import parse_date
from appliance.message.header import HeaderSection, split_message
from appliance.message.reading import Leaf, Reading
from appliance.message.text import decode_bytes
from appliance.model.caught import CaughtSummary, Person
from appliance.services.catcher.gojson import time_of

__all__ = ["disposition", "headers_of", "list_unsubscribe", "message_shape", "stored_form", "summary_shape"]

_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_BRACKETED = re.compile(r"<([^<>]*)>")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _person(person: Person | None) -> dict[str, str]:
    return {"Name": person.name, "Address": person.address} if person is not None else {"Name": "", "Address": ""}


def _persons(persons: Sequence[Person]) -> list[dict[str, str]]:
    return [_person(person) for person in persons]


def stored_form(summary: CaughtSummary, hostname: str, *, has_message_id: bool) -> bytes:
    """Return the fields that Mailpit would have put in front."""
    envelope = summary.envelope
    if envelope.protocol in {"IMAP", "DSN"}:
        return b""  # nobody sent it: a mail program put it here, or it came back
    at = datetime.fromtimestamp(summary.created_ms / 1_000, tz=None).astimezone()
    when = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S %z} ({at.tzname() or 'UTC'})"
    name = "localhost" if envelope.client.startswith("127.") or envelope.client == "::1" else "unknown"
    first = envelope.recipients[0] if envelope.recipients else ""
    lines = [f"Bcc: {', '.join(summary.hidden)}"] if summary.hidden else []
    if not has_message_id:
        lines.append(f"Message-ID: <{summary.message_id or summary.id + '@mailpit'}>")
    lines.append(f"Return-Path: <{envelope.reverse_path}>")
    if envelope.protocol != "HTTP":
        # Clients compare sizes and this field with what the program of this API writes; so it is written as that does.
        lines.append(
            f"Received: from {envelope.helo} ({name} [{envelope.client}])\r\n        by {hostname} (Mailpit) with SMTP\r\n"
            f"        for <{first}>; {when}"
        )
    return "".join([line + "\r\n" for line in lines]).encode("utf-8", "replace")


def summary_shape(summary: CaughtSummary, size: int, *, searched: bool = False, broadcast: bool = False) -> dict[str, Any]:
    """Return a MessageSummary. Empty lists are null where Mailpit has them so, in ``searched`` results ReplyTo too; never in events."""
    empty: list[Any] | None = [] if broadcast else None
    return {
        "ID": summary.id,
        "MessageID": summary.message_id or f"{summary.id}@mailpit",
        "Read": summary.read,
        "From": _person(summary.sender),
        "To": _persons(summary.to) or empty,
        "Cc": _persons(summary.cc) or empty,
        "Bcc": _persons(summary.bcc) or empty,
        "ReplyTo": _persons(summary.reply_to) or (None if searched else []),
        "Subject": summary.subject,
        "Created": time_of(summary.created_ms),
        "Username": summary.envelope.username,
        "Tags": list(summary.tags),
        "Size": size,
        "Attachments": summary.attachments,
        "Snippet": summary.snippet,
    }


def message_shape(summary: CaughtSummary, reading: Reading, size: int) -> dict[str, Any]:
    """Return a Message."""
    date = parse_date(reading.header.get(b"date") or b"")
    path = summary.envelope.reverse_path
    return {
        "ID": summary.id,
        "MessageID": summary.message_id or f"{summary.id}@mailpit",
        "From": _person(summary.sender),
        "To": _persons(summary.to),
        "Cc": _persons(summary.cc),
        "Bcc": _persons(summary.bcc),
        "ReplyTo": _persons(summary.reply_to),
        "ReturnPath": path or (summary.sender.address if summary.sender else ""),
        "Subject": summary.subject,
        "ListUnsubscribe": list_unsubscribe(reading),
        "Date": time_of(0, date) if date is not None else time_of(summary.created_ms),
        "Tags": list(summary.tags),
        "Username": summary.envelope.username,
        "Text": reading.text(),
        "HTML": reading.html(),
        "Size": size,
        "Inline": [_attachment(reading, leaf) for leaf in reading.inlines],
        "Attachments": [_attachment(reading, leaf) for leaf in reading.attachments],
    }


def _attachment(reading: Reading, leaf: Leaf) -> dict[str, Any]:
    data = reading.content(leaf.part)
    return {
        "PartID": leaf.part_id,
        "FileName": leaf.name,
        "ContentType": leaf.content_type,
        "ContentID": leaf.content_id,
        "Size": len(data),
        "Checksums": {
            "MD5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "SHA1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
            "SHA256": hashlib.sha256(data).hexdigest(),
        },
    }


def list_unsubscribe(reading: Reading) -> dict[str, Any]:
    """Return the links of List-Unsubscribe and what is wrong with them."""
    header = reading.value(b"list-unsubscribe")
    links = _BRACKETED.findall(header)[:100]
    error = ""
    if header and not links:
        error = "invalid List-Unsubscribe: no links in angle brackets"
    elif not all(link.lower().startswith(("mailto:", "http://", "https://")) for link in links):
        error = "invalid List-Unsubscribe: a link is neither mailto nor http"
    post = reading.value(b"list-unsubscribe-post") if header else ""
    return {"Header": header, "Links": links, "Errors": error, "HeaderPost": post}


def headers_of(data: bytes) -> dict[str, list[str]]:
    """Return each field by its canonical name, unfolded and still encoded, in the order of names."""
    header, _ = split_message(data)
    found: dict[str, list[str]] = {}
    for field in HeaderSection(header, max_fields=10_000).fields:
        if field.name:
            name = "-".join([word.capitalize() for word in field.name.decode("latin-1").split("-")])
            value = decode_bytes(field.raw.partition(b":")[2])
            found.setdefault(name, []).append(_FOLD.sub(" ", value).strip())
    return dict(sorted(found.items()))


def disposition(kind: str, name: str) -> str:
    """Return a Content-Disposition with a name that no client can misread."""
    shown = f'filename="{quote(name, safe="")}"' if not re.fullmatch(r"[A-Za-z0-9._@+-]+", name) else f'filename="{name}"'
    return f"{kind}; {shown}" if kind else shown
