"""Delivery status notifications: the report itself, as a message.

Owns the form of multipart/report: a part that people understand (``dsntext``), the
part that programs read, and the message it is about, whole or its header only.
What comes first and what comes last is built here; a whole message is put between
by the caller, so it need not be in memory (``frame_dsn``).

Fails: never; what a peer said is made fit to stand in a field first.
Does not: decide when to report, or to whom (the queue does); never call it for a
message whose reverse-path is null (RFC 5321 section 4.5.5).

Sources: RFC 3464, RFC 6522, RFC 3461 section 6, RFC 6533 (international addresses),
RFC 3834 (Auto-Submitted), RFC 5321 section 3.6.3.
"""

import binascii
import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.message.date import format_date
from appliance.message.dsntext import Language, explanation, plain_date, words
from appliance.message.header import HeaderSection
from appliance.message.text import decode_header, encode_phrase, encode_unstructured
from appliance.model.envelope import Body, Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome

__all__ = ["DsnFrame", "DsnKind", "DsnRequest", "build_dsn", "frame_dsn", "returned_header"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MAX_TEXT = 900  # octets of one reply or name; RFC 5322 section 2.1.1 and RFC 6532 section 3.4 allow 998 in a line
_MAX_SUBJECT = 100
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}").fullmatch
_is_message_id = re.compile(rb"<[!-;=?-~]{1,250}>").fullmatch


class DsnKind(enum.Enum):
    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class DsnRequest:
    """Everything a report is made of.

    ``original_header`` is the header section of the message, always needed for its
    subject; ``returns_message`` says that the whole message follows instead.
    Times are seconds since the epoch, UTC; ``retry_until_s`` matters for delays.
    ``message_id`` with brackets; ``boundary`` must not occur in the message (a random one does not).
    """

    kind: DsnKind
    envelope: Envelope
    outcomes: Sequence[tuple[EnvelopeRecipient, Outcome]]
    original_header: bytes
    hostname: str
    now_s: float
    arrived_at_s: float
    boundary: str
    message_id: str
    language: Language = "en"
    returns_message: bool = False
    queue_id: str = ""
    retry_until_s: float | None = None
    sender: str = ""


@dataclass(frozen=True, slots=True)
class DsnFrame:
    """A report with a gap: ``head``, then the message or its header as it is, then ``tail``.

    ``body`` and ``smtputf8`` belong into the report's own envelope.
    """

    head: bytes
    tail: bytes
    body: Body
    smtputf8: bool


def build_dsn(request: DsnRequest, message: bytes = b"") -> bytes:
    """Return a whole report; ``message`` is the original when ``returns_message`` is set."""
    frame = frame_dsn(request)
    original = message if request.returns_message else returned_header(request)
    return frame.head + original + frame.tail


def returned_header(request: DsnRequest) -> bytes:
    """Return what stands in the gap when only the header goes back: its fields, without the empty line."""
    return b"".join([field.raw for field in HeaderSection(request.original_header).fields])


def frame_dsn(request: DsnRequest) -> DsnFrame:
    """Return everything but the returned message."""
    utf8 = _needs_utf8(request)
    returned_is_8bit = not request.original_header.isascii() or (request.returns_message and request.envelope.body is not Body.SEVEN_BIT)
    eight_bit = utf8 or returned_is_8bit
    separator = b"--" + request.boundary.encode("ascii")
    head = b"\r\n".join(
        [
            *_header(request, eight_bit=eight_bit),
            b"",
            b"This is a delivery report in MIME format.",
            b"",
            separator,
            *_human_part(request),
            separator,
            *_machine_part(request, utf8=utf8),
            separator,
            *_returned_part_header(request, utf8=utf8, is_8bit=returned_is_8bit),
            b"",
            b"",
        ]
    )
    body = Body.EIGHT_BIT_MIME if eight_bit else Body.SEVEN_BIT
    if request.returns_message and request.envelope.body is Body.BINARY_MIME:
        body = Body.BINARY_MIME
    # The parts need no SMTPUTF8, only an address in the report's own header does (RFC 6533 section 4).
    addressed = request.envelope.reverse_path + request.sender
    return DsnFrame(head, b"\r\n" + separator + b"--\r\n", body, not addressed.isascii())


def _needs_utf8(request: DsnRequest) -> bool:
    """RFC 6533 section 4: the global forms only for international mail."""
    texts = [request.envelope.reverse_path, *[recipient.address for recipient, _ in request.outcomes]]
    return request.envelope.smtputf8 or not all(map(str.isascii, texts))


def _header(request: DsnRequest, *, eight_bit: bool) -> list[bytes]:
    said = words(request.language)
    original = HeaderSection(request.original_header)
    sender = request.sender or f"MAILER-DAEMON@{request.hostname}"
    subject = said.subject[request.kind.value].format(subject=_subject(original) or said.no_subject)
    lines = [
        b"From: " + encode_phrase(said.sender_name) + b" <" + _line(sender).encode() + b">",
        b"To: <" + _line(request.envelope.reverse_path).encode() + b">",
        b"Subject: " + encode_unstructured(subject),
        b"Date: " + format_date(request.now_s),
        b"Message-ID: " + _line(request.message_id).encode(),
        b"Auto-Submitted: auto-replied",
        b"MIME-Version: 1.0",
        b"Content-Type: multipart/report; report-type=delivery-status;",
        b'\tboundary="' + request.boundary.encode("ascii") + b'"',
    ]
    about = original.get(b"message-id") or b""
    if _is_message_id(about):
        lines[5:5] = [b"In-Reply-To: " + about, b"References: " + about]
    if eight_bit:
        lines.append(b"Content-Transfer-Encoding: 8bit")
    return lines


def _subject(original: HeaderSection) -> str:
    text = _CONTROL.sub(" ", decode_header(original.get(b"subject") or b"")).strip()
    return text if len(text) <= _MAX_SUBJECT else text[:_MAX_SUBJECT] + "..."


def _line(text: str) -> str:
    """Make one line of what came from outside."""
    text = _CONTROL.sub(" ", text).strip()[:_MAX_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace")[:_MAX_TEXT].decode("utf-8", "ignore")


def _human_part(request: DsnRequest) -> list[bytes]:
    text = _human_text(request)
    field = f"Content-Language: {request.language}".encode("ascii")
    if text.isascii():
        return [b"Content-Type: text/plain; charset=us-ascii", field, b"", text.replace("\n", "\r\n").encode("ascii")]
    encoded = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True).replace(b"\n", b"\r\n")
    return [b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: quoted-printable", field, b"", encoded]


def _human_text(request: DsnRequest) -> str:
    said = words(request.language)
    lines = [*_wrapped(said.lead[request.kind.value]), ""]
    for recipient, outcome in request.outcomes:
        lines.append(f"  {_line(recipient.original or recipient.address)}")
        lines += _wrapped(explanation(outcome, request.language), "      ")
        if outcome.diagnostic:
            lines.append(f"      {said.server_said.format(mta=_line(outcome.remote_mta) or request.hostname)}")
            lines += _wrapped(_line(outcome.diagnostic), "        ")
        elif outcome.reason:
            lines += _wrapped(f"({_line(outcome.reason)})", "      ")
        lines.append("")
    until = plain_date(request.retry_until_s, request.language) if request.retry_until_s is not None else ""
    subject = _subject(HeaderSection(request.original_header)) or said.no_subject
    if request.kind is not DsnKind.DELAY or until:
        lines += [*_wrapped(said.close[request.kind.value].format(until=until)), ""]
    lines += _wrapped(said.about.format(subject=subject, date=plain_date(request.arrived_at_s, request.language)))
    lines += [said.attached[request.returns_message], "", said.reported_by.format(hostname=request.hostname), ""]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "") -> list[str]:
    from textwrap import wrap  # here, since reports are rare

    return wrap(text, 76, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _machine_part(request: DsnRequest, *, utf8: bool) -> list[bytes]:
    lines = ["Content-Type: message/global-delivery-status", "Content-Transfer-Encoding: 8bit"] if utf8 else []
    lines = lines or ["Content-Type: message/delivery-status"]
    lines += ["", f"Reporting-MTA: dns; {_line(request.hostname)}"]
    if request.envelope.envid:
        lines.append(f"Original-Envelope-Id: {_line(request.envelope.envid)}")
    lines.append(f"Arrival-Date: {format_date(request.arrived_at_s).decode('ascii')}")
    if request.queue_id:
        lines.append(f"X-Carteiro-Queue-ID: {_line(request.queue_id)}")
    for recipient, outcome in request.outcomes:
        lines += ["", *_recipient_fields(request, recipient, outcome)]
    lines.append("")
    encoding = "utf-8" if utf8 else "ascii"
    return [line.encode(encoding, "replace") for line in lines]


def _recipient_fields(request: DsnRequest, recipient: EnvelopeRecipient, outcome: Outcome) -> list[str]:
    """RFC 3464 section 2.3; the order is that of the RFC's own examples."""
    fields = []
    if recipient.orcpt:
        kind, _, address = recipient.orcpt.partition(";")
        fields.append(f"Original-Recipient: {_line(f'{_line(kind)}; {_line(address)}')}")
    kind = "rfc822" if recipient.address.isascii() else "utf-8"
    fields.append(f"Final-Recipient: {kind}; {_line(recipient.address)}")
    fields.append(f"Action: {_action(request.kind, outcome).value}")
    fields.append(f"Status: {_status(request.kind, outcome)}")
    if outcome.remote_mta:
        fields.append(f"Remote-MTA: dns; {_line(outcome.remote_mta)}")
    if outcome.diagnostic:
        kind = "smtp" if outcome.diagnostic[:3].isdigit() else "X-Carteiro"
        fields.append(f"Diagnostic-Code: {kind}; {_folded(_line(outcome.diagnostic))}")
    elif outcome.reason:
        fields.append(f"Diagnostic-Code: X-Carteiro; {_folded(_line(outcome.reason))}")
    fields.append(f"Last-Attempt-Date: {format_date(request.now_s).decode('ascii')}")
    if request.kind is DsnKind.DELAY and request.retry_until_s is not None:
        fields.append(f"Will-Retry-Until: {format_date(request.retry_until_s).decode('ascii')}")
    return fields


def _action(kind: DsnKind, outcome: Outcome) -> Action:
    """A recipient that expired was deferred to the end; in a failure report it has failed."""
    if kind is DsnKind.FAILURE:
        return Action.BOUNCED
    return Action.DEFERRED if kind is DsnKind.DELAY else outcome.action


def _status(kind: DsnKind, outcome: Outcome) -> str:
    """RFC 3464 section 2.3.4. The class stays what the last attempt had: 4.4.7 in a failure report says it expired."""
    status = outcome.status if _STATUS(outcome.status) else ""
    if kind is DsnKind.FAILURE and not status:
        return "5.0.0"
    if kind is DsnKind.DELAY and not status:
        return "4.0.0"
    return status or "2.0.0"


def _folded(text: str) -> str:
    """Fold a long reply between words."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and len(line) + len(word) > 70:
            lines.append(line)
            line = " " + word
        else:
            line = f"{line} {word}" if line else word
    return "\r\n   ".join([*lines, line])


def _returned_part_header(request: DsnRequest, *, utf8: bool, is_8bit: bool) -> list[bytes]:
    if request.returns_message:
        kind = b"message/global" if utf8 else b"message/rfc822"
    else:
        kind = b"message/global-headers" if utf8 else b"text/rfc822-headers"
    lines = [b"Content-Type: " + kind]
    if request.returns_message and request.envelope.body is Body.BINARY_MIME:
        lines.append(b"Content-Transfer-Encoding: binary")
    elif is_8bit:
        lines.append(b"Content-Transfer-Encoding: 8bit")
    return lines
