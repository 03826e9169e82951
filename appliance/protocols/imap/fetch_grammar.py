"""FETCH items: macros, sections, partials.

Fails:    ``ParseError``.
Sources:  RFC 3501 section 9 (fetch, fetch-att, section), erratum 261 (the list may not be empty),
          RFC 3516 section 7 (BINARY), RFC 8970 section 6 (PREVIEW).
"""

import re
from typing import Final

from appliance.protocols.imap.fetch_items import Attribute, BinarySection, BodySection, FetchItem, PreviewItem, SectionText
from appliance.protocols.imap.grammar import MAX_LIST_ITEMS, ParseError, Reader, printable

__all__ = ["read_fetch_items"]

MAX_PART_DEPTH = 100
"""As deep as the structure scanner goes."""

_MACROS: Final = {
    b"FAST": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE),
    b"ALL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE),
    b"FULL": (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE, Attribute.BODY),
}
_ATTRIBUTES: Final = {attribute.value.encode("ascii"): attribute for attribute in Attribute}
_RFC822: Final[dict[bytes, FetchItem]] = {
    b"RFC822": BodySection(b"RFC822"),
    b"RFC822.HEADER": BodySection(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
    b"RFC822.TEXT": BodySection(b"RFC822.TEXT", text=SectionText.TEXT),
}
_BINARY: Final = frozenset({b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"})
_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*")
_PARTIAL = re.compile(rb"<([0-9]{1,10})\.([0-9]{1,10})>")
_SECTION_TEXT = re.compile(rb"[A-Za-z.]+")


def read_fetch_items(reader: Reader) -> tuple[FetchItem, ...]:
    """Return the items without duplicates, macros expanded."""
    if not reader.take(b"("):
        start = reader.pos
        name = reader.take_atom()
        macro = _MACROS.get(name.upper()) if name is not None else None
        if macro is not None:
            return macro
        reader.pos = start
        return (_read_item(reader),)
    items = [_read_item(reader)]
    while not reader.take(b")"):
        reader.read_space()
        items.append(_read_item(reader))
        if len(items) > MAX_LIST_ITEMS:
            raise ParseError("too many FETCH items")
    return tuple(dict.fromkeys(items))


def _read_item(reader: Reader) -> FetchItem:
    match = _NAME.match(reader.data, reader.pos)
    if match is None:
        reader.fail("FETCH item")
    name = match.group().upper()
    reader.pos = match.end()
    if name in {b"BODY", b"BODY.PEEK"} and reader.take(b"["):
        return _read_section(reader, peek=name == b"BODY.PEEK")
    if name in _BINARY and reader.take(b"["):
        return _read_binary(reader, name)
    if name == b"PREVIEW":
        return _read_preview(reader)
    item = _ATTRIBUTES.get(name) or _RFC822.get(name)
    if item is None:
        raise ParseError(f"no such FETCH item: {printable(name)}")
    return item


def _read_section(reader: Reader, *, peek: bool) -> BodySection:
    part = _read_part(reader)
    text = SectionText.WHOLE
    fields: tuple[bytes, ...] = ()
    if not part or reader.take(b"."):
        text, fields = _read_section_text(reader, part=bool(part))
    if not reader.take(b"]"):
        reader.fail("]")
    name = b".".join([b"%d" % number for number in part] + ([text.value.encode("ascii")] if text.value else []))
    if fields:
        name += b" (" + b" ".join(map(_field_label, fields)) + b")"
    label = b"BODY[" + name + b"]"
    partial = _read_partial(reader)
    if partial is not None:
        label += b"<%d>" % partial[0]
    return BodySection(label, part, text, fields, partial, peek)


def _read_part(reader: Reader) -> tuple[int, ...]:
    match = _PART.match(reader.data, reader.pos)
    if match is None:
        if reader.data[reader.pos : reader.pos + 1] == b"0":
            raise ParseError("there is no part 0; HEADER names the header, parts count from 1")
        return ()
    reader.pos = match.end()
    part = tuple(map(int, match.group().split(b".")))
    if len(part) > MAX_PART_DEPTH:
        raise ParseError("section is nested too deeply")
    return part


def _read_binary(reader: Reader, name: bytes) -> BinarySection:
    part = _read_part(reader)
    if not reader.take(b"]"):
        raise ParseError(f"{name.decode('ascii')} takes the number of a part and nothing else, as in {name.decode('ascii')}[1.2]")
    numbers = b".".join([b"%d" % number for number in part])
    if name == b"BINARY.SIZE":
        return BinarySection(b"BINARY.SIZE[" + numbers + b"]", part, peek=True, size_only=True)
    partial = _read_partial(reader)
    label = b"BINARY[" + numbers + b"]" + (b"<%d>" % partial[0] if partial is not None else b"")
    return BinarySection(label, part, partial, peek=name == b"BINARY.PEEK")


def _read_preview(reader: Reader) -> PreviewItem:
    """RFC 8970 section 6: ``PREVIEW (LAZY)``; the modifier is the only one there is."""
    if not reader.take(b" ("):
        return PreviewItem()
    if not reader.take(b"LAZY)"):
        reader.fail("LAZY, the only modifier of PREVIEW,")
    return PreviewItem(lazy=True)


def _read_section_text(reader: Reader, *, part: bool) -> tuple[SectionText, tuple[bytes, ...]]:
    match = _SECTION_TEXT.match(reader.data, reader.pos)
    if match is None:
        if part:
            reader.fail("section")
        return SectionText.WHOLE, ()
    try:
        text = SectionText(match.group().upper().decode("ascii"))
    except ValueError:
        reader.fail("section")
    if text is SectionText.MIME and not part:
        raise ParseError("MIME needs a part number before it")
    reader.pos = match.end()
    if text not in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
        return text, ()
    reader.read_space()
    if not reader.take(b"("):
        reader.fail("list of header fields")
    fields = [reader.read_astring("header field name")]
    while not reader.take(b")"):
        reader.read_space()
        fields.append(reader.read_astring("header field name"))
        if len(fields) > MAX_LIST_ITEMS:
            raise ParseError("too many header fields")
    return text, tuple(fields)


def _field_label(field: bytes) -> bytes:
    """Field names are told back as they came: as atom where one will do, quoted otherwise."""
    if Reader(field).take_atom() == field:
        return field
    if b"\r" in field or b"\n" in field or not field.isascii():
        raise ParseError("header field name with a character that no field has")
    return b'"' + field.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _read_partial(reader: Reader) -> tuple[int, int] | None:
    if reader.data[reader.pos : reader.pos + 1] != b"<":
        return None
    match = _PARTIAL.match(reader.data, reader.pos)
    if match is None:
        reader.fail("partial such as <0.1024>")
    offset, length = map(int, match.groups())
    if length == 0 or max(offset, length) > 0xFFFF_FFFF:
        raise ParseError("partial has no such length")
    reader.pos = match.end()
    return offset, length
