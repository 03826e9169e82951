"""A message made from what a caller of the interface says: addresses, texts, files.

Owns the checks, in the words of Mailpit's interface, and the form of the message:
plain and HTML as alternatives, pictures for the HTML beside it, files around all.

Fails: ComposeError with the words to tell.

Sources: RFC 5322, RFC 2045, RFC 2046, RFC 2183; Mailpit's send call, as recorded.
"""

import base64
import binascii
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.message.date import format_date
from appliance.message.text import encode_parameter, encode_phrase, encode_unstructured

__all__ = ["ComposeError", "Composed", "compose"]

_ADDRESS: Final = re.compile(r"[^\s<>@,;:\"\\]+@[^\s<>@,;:\"\\]+")
_SENDER: Final = re.compile(r"[^\s<>,;:\"\\]+")
"""Anything that can stand in a path: who writes to a catcher may be called ``root``."""
_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,200}")
_OURS: Final = ("To", "From", "Cc", "Bcc", "Reply-To", "Date", "Subject", "Content-Type", "Mime-Version")
_MEDIA: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(?:\s*;\s*[^\r\n]+)?", re.IGNORECASE)
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)


class ComposeError(ValueError):
    """What is wrong with the request."""


@dataclass(frozen=True, slots=True)
class Composed:
    """``reverse_path`` and ``recipients`` are the envelope."""

    data: bytes
    reverse_path: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    content_type: str
    content_id: str
    data: bytes


def compose(body: Mapping[str, Any], *, now_s: float) -> Composed:
    """Return the message of a request's body. Raises ComposeError."""
    sender = body.get("From")
    sender = sender if isinstance(sender, dict) else {}
    recipients: list[str] = []
    fields: dict[str, bytes] = {}
    for name, key in (("To", "To"), ("Cc", "Cc"), ("Bcc", "Bcc"), ("Reply-To", "ReplyTo")):
        listed = _addresses(body, name, key)
        if listed:
            fields[name] = b", ".join([_mailbox(*one) for one in listed])
        if name != "Reply-To":
            recipients += [address for _, address in listed]
    fields.update(_given_headers(body))
    files = [_file(one) for one in _list(body, "Attachments") if isinstance(one, dict)]
    address = _text(sender, "Email")
    if not address:
        raise ComposeError("error building message: from not set")
    if not recipients:
        raise ComposeError("error building message: no recipients (to, cc, bcc) set")
    if not _SENDER.fullmatch(address):
        raise ComposeError(f"error building message: invalid from address: {address}")
    fields.pop("Bcc", None)  # those are in the envelope alone
    fields["From"] = _mailbox(_text(sender, "Name"), address)
    fields["Subject"] = encode_unstructured(_text(body, "Subject"))
    fields["Date"] = format_date(now_s)
    fields["Mime-Version"] = b"1.0"
    fields.setdefault("Message-Id", f"<{secrets.token_hex(11)}@mailpit>".encode())
    content_type, content = _content(_text(body, "Text"), _text(body, "HTML"), files)
    fields.update(content_type)
    head = b"".join([name.encode("ascii") + b": " + fields[name] + b"\r\n" for name in sorted(fields)])
    return Composed(head + b"\r\n" + content, address, tuple(dict.fromkeys(recipients)))


def _mailbox(name: str, address: str) -> bytes:
    """Return ``"name" <address>``, quoted whether it needs it or not, as this interface's messages have always been."""
    phrase = encode_phrase(" ".join(name.split()))
    if phrase and not phrase.startswith((b"=?", b'"')):
        phrase = b'"' + phrase + b'"'
    return (phrase + b" " if phrase else b"") + b"<" + address.encode("utf-8") + b">"


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _list(values: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = values.get(key)
    return value if isinstance(value, list) else []


def _addresses(body: Mapping[str, Any], name: str, key: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for one in _list(body, key):
        shown, address = (_text(one, "Name"), _text(one, "Email")) if isinstance(one, dict) else ("", str(one))
        if not _ADDRESS.fullmatch(address):
            raise ComposeError(f"invalid {name} address: {address}")
        found.append((shown, address))
    return found


def _given_headers(body: Mapping[str, Any]) -> dict[str, bytes]:
    given = body.get("Headers")
    tags = [tag for tag in _list(body, "Tags") if isinstance(tag, str)]
    ours = {name.lower() for name in (*_OURS, *(("X-Tags",) if tags else ()))}
    found: dict[str, bytes] = {"X-Tags": encode_unstructured(", ".join(tags))} if tags else {}
    for name, value in (given if isinstance(given, dict) else {}).items():
        if name.lower() in ours:
            raise ComposeError(f'cannot overwrite header: "{name}"')
        if not _HEADER_NAME.fullmatch(name) or not isinstance(value, str):
            raise ComposeError(f'invalid header: "{name}"')
        plain = not re.search(r"[\r\n\x00]", value) and value.isascii()
        found[name] = value.encode("ascii") if plain else encode_unstructured(value)
    return found


def _file(given: Mapping[str, Any]) -> _File:
    name = _text(given, "Filename")
    encoded = _text(given, "Content").rpartition(",")[2]
    try:
        data = base64.b64decode(encoded.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ComposeError(
            f'error decoding base64 attachment "{name}": illegal base64 data at input byte {_first_wrong(encoded)}'
        ) from error
    content_type = _text(given, "ContentType")
    if not _MEDIA.fullmatch(content_type):
        content_type = next((media for magic, media in _MAGIC if data.startswith(magic)), _guess(data))
    return _File(name, content_type, re.sub(r"[^!-~]|[<>]", "", _text(given, "ContentID")), data)


def _first_wrong(encoded: str) -> int:
    """Return where base64 goes wrong: at a character that is none, or at the group of four that is not whole."""
    found = re.match(r"[A-Za-z0-9+/\r\n]*", encoded)
    good = found.end() if found else 0
    if good < len(encoded) and encoded[good] != "=":
        return good
    return good - len(re.sub(r"[\r\n]", "", encoded[:good])) % 4 if good == len(encoded) else good


def _guess(data: bytes) -> str:
    try:
        data[:512].decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain; charset=utf-8"


_Part = tuple[dict[str, bytes], bytes]


def _content(text: str, html: str, files: Sequence[_File]) -> _Part:
    parts: list[_Part] = []
    if text or not html:
        parts.append(_text_part("plain", text))
    if html:
        inside = [_file_part(file) for file in files if file.content_id]
        shown = _text_part("html", html)
        parts.append(_multipart("related", [shown, *inside]) if inside else shown)
        files = [file for file in files if not file.content_id]
    whole = parts[0] if len(parts) == 1 else _multipart("alternative", parts)
    return _multipart("mixed", [whole, *map(_file_part, files)]) if files else whole


def _text_part(subtype: str, text: str) -> _Part:
    data = text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    fields = {"Content-Type": b"text/" + subtype.encode("ascii") + b"; charset=utf-8"}
    if not data.isascii() or max(map(len, data.split(b"\r\n"))) > 900:
        fields["Content-Transfer-Encoding"], data = b"quoted-printable", _quoted(data)
    return fields, data


def _quoted(data: bytes) -> bytes:
    return binascii.b2a_qp(data.replace(b"\r\n", b"\n"), istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _file_part(file: _File) -> _Part:
    kind = b"inline" if file.content_id else b"attachment"
    name = b"; " + encode_parameter("filename", file.name) if file.name else b""
    fields = {
        "Content-Disposition": kind + name,
        "Content-Transfer-Encoding": b"base64",
        "Content-Type": file.content_type.encode("ascii", "replace"),
    }
    if file.content_id:
        fields["Content-Id"] = b"<" + file.content_id.encode("ascii") + b">"
    encoded = base64.b64encode(file.data)
    return fields, b"\r\n".join([encoded[at : at + 76] for at in range(0, len(encoded), 76)])


def _multipart(subtype: str, parts: Sequence[_Part]) -> _Part:
    boundary = f"section{uuid.uuid4()}".encode("ascii")
    pieces: list[bytes] = []
    for fields, content in parts:
        head = b"".join([name.encode("ascii") + b": " + fields[name] + b"\r\n" for name in sorted(fields)])
        pieces.append(b"--" + boundary + b"\r\n" + head + b"\r\n" + content + b"\r\n")
    kind = b"multipart/" + subtype.encode("ascii") + b";\r\n boundary=" + boundary
    return {"Content-Type": kind}, b"".join(pieces) + b"--" + boundary + b"--\r\n"
