"""What FETCH can ask for, as frozen values.

Owns shapes and the label under which a section is answered.

Sources:  RFC 3501 section 6.4.5 and section 9 (fetch-att, section, section-spec).
"""

import enum
from dataclasses import dataclass

__all__ = ["Attribute", "BodySection", "FetchItem", "SectionText"]


class Attribute(enum.Enum):
    """Items without parameters; FETCH macros are expanded into them."""

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"


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


FetchItem = Attribute | BodySection
