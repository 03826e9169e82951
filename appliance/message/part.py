"""One part of a message: where it lies and what its header says. Built by ``mime``, read by the rest.

Offsets count octets of the message with CRLF line ends, from its first.

Sources: RFC 2045, RFC 2046 (structure), RFC 3501 section 7.4.2 (the items kept).
"""

from dataclasses import dataclass, field

from appliance.message.parameter import Parameters

__all__ = ["Part"]


@dataclass(slots=True, eq=True)
class Part:
    """A leaf, a multipart (``children``) or a nested message (``message``).

    ``type`` and ``subtype`` are lower case and what the part is treated as, not
    always what it claims: a multipart without boundary is text/plain, a
    message/rfc822 in base64 is application/octet-stream. ``lines`` are the line
    ends in the body. ``disposition`` and ``language`` are unparsed field values.
    ``envelope`` is rendered, of the message itself and of nested ones.
    """

    header_start: int
    body_start: int = 0
    body_end: int = 0
    lines: int = 0
    type: bytes = b"text"
    subtype: bytes = b"plain"
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    content_id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: bytes | None = None
    language: bytes | None = None
    location: bytes | None = None
    envelope: bytes | None = None
    children: "list[Part]" = field(default_factory=list)
    message: "Part | None" = None

    @property
    def size(self) -> int:
        """Octets of the body."""
        return self.body_end - self.body_start

    @property
    def is_multipart(self) -> bool:
        return self.type == b"multipart"

    def parameter(self, name: bytes) -> bytes | None:
        """Return a Content-Type parameter as it stands (see ``parameter.decode_parameter`` for encoded ones)."""
        return next((value for key, value in self.parameters if key == name), None)
