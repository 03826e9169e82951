"""What the server is about to send: untagged responses, and how a line with a text is written.

Does not: know commands; tagged responses and continuations are ``server``'s.
Sources:  RFC 3501 section 7 (responses), RFC 5255 section 3.2 (texts in other languages).
"""

from collections.abc import Callable

from appliance.protocols.imap.responses import text_line
from appliance.protocols.imap.state import Condition

__all__ = ["Outbox"]


class Outbox:
    """Responses in the order in which they go out."""

    def __init__(self) -> None:
        self.translate: Callable[[str], str] | None = None
        """How texts for people are told in another language, in UTF-8; None: in English, in ASCII (RFC 5255 section 3.2)."""
        self._out: list[bytes] = []

    def data_to_send(self) -> bytes:
        """Return and forget what is to be sent."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def send(self, responses: bytes) -> None:
        """Queue complete untagged responses, line ends included."""
        self._out.append(responses)

    def send_untagged(self, condition: Condition, text: str, code: bytes = b"") -> None:
        self._out.append(b"* " + self._line(condition.value, text, code))

    def bye_line(self, text: str, code: bytes = b"") -> bytes:
        """Return the last words of a session, for when nothing of what is queued may be sent any more."""
        return b"* " + self._line(b"BYE", text, code)

    def _line(self, condition: bytes, text: str, code: bytes) -> bytes:
        shown = text_line(text) if self.translate is None else text_line(self.translate(text), utf8=True)
        return b"%b %b%b\r\n" % (condition, b"[%b] " % code if code else b"", shown)
