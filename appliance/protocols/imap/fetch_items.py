"""What FETCH can ask for, as frozen values.

Owns shapes and the label under which a section is answered.

Sources:  RFC 3501 section 6.4.5 and section 9 (fetch-att, section, section-spec), RFC 3516 section 7 (BINARY),
          RFC 8474 section 7 (EMAILID, THREADID), RFC 8514 section 5 (SAVEDATE), RFC 8970 section 6 (PREVIEW),
          RFC 7162 section 3.1.4.2 (MODSEQ).
"""

import enum
from dataclasses import dataclass

__all__ = ["Attribute", "BinarySection", "BodySection", "FetchItem", "PreviewItem", "SectionText"]


class Attribute(enum.Enum):
    """Items without parameters; FETCH macros are expanded into them."""

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"
    MODSEQ = "MODSEQ"


class SectionText(enum.Enum):
    """RFC 3501 section 9, section-msgtext and section-text; WHOLE: none named."""

    WHOLE = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class BodySection:
    """``BODY[part.text (fields)]<offset.length>``.

    ``label``: the item's name in the response, partial's origin included.
    ``fields``: names of header fields as the client wrote them.
    """

    label: bytes
    part: tuple[int, ...] = ()
    text: SectionText = SectionText.WHOLE
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False


@dataclass(frozen=True, slots=True)
class BinarySection:
    """``BINARY[part]<offset.length>`` or ``BINARY.SIZE[part]``. ``label``: as that of a ``BodySection``."""

    label: bytes
    part: tuple[int, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False
    size_only: bool = False


@dataclass(frozen=True, slots=True)
class PreviewItem:
    """``PREVIEW``; ``lazy``: only if it is there already."""

    lazy: bool = False


FetchItem = Attribute | BodySection | BinarySection | PreviewItem
