"""Reports, read back with the standard library's parser as a stranger would."""

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

from appliance.message.dsn import DsnKind, DsnRequest, build_dsn, frame_dsn
from appliance.message.mime import scan
from appliance.model.envelope import Body, Envelope, EnvelopeRecipient
from appliance.model.outcome import Action, Outcome

RECIPIENT = EnvelopeRecipient("joe@example.org", orcpt="rfc822;Joe@example.com", original="Joe@example.com")
OUTCOME = Outcome(Action.BOUNCED, "5.1.1", "No such user", "550 5.1.1 no such user here", "mx.example.org")
HEADER = b"From: a@b\r\nSubject: Hello\r\nMessage-ID: <1@x>\r\n\r\n"
REQUEST = DsnRequest(
    kind=DsnKind.FAILURE,
    envelope=Envelope("ana@example.com", (RECIPIENT,), envid="QQ314"),
    outcomes=[(RECIPIENT, OUTCOME)],
    original_header=HEADER,
    hostname="mail.example.com",
    now_s=1_770_000_000,
    arrived_at_s=1_769_990_000,
    boundary="=_b",
    message_id="<dsn@mail.example.com>",
    queue_id="Q1",
)


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert [] == message.defects
    return message


def parts(data: bytes) -> list[EmailMessage]:
    found = list(read(data).iter_parts())
    assert all(isinstance(part, EmailMessage) for part in found)
    return found  # type: ignore[return-value]


def machine_part(data: bytes) -> bytes:
    part = scan(data).children[1]
    return data[part.body_start : part.body_end]


def test_a_failure_report_is_exact() -> None:
    """RFC 3464 section 2, field by field."""
    data = build_dsn(REQUEST)
    assert (
        b"Reporting-MTA: dns; mail.example.com\r\nOriginal-Envelope-Id: QQ314\r\nArrival-Date: Sun, 1 Feb 2026 23:53:20 +0000\r\n"
        b"X-Carteiro-Queue-ID: Q1\r\n\r\n"
        b"Original-Recipient: rfc822; Joe@example.com\r\nFinal-Recipient: rfc822; joe@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Remote-MTA: dns; mx.example.org\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user here\r\n"
        b"Last-Attempt-Date: Mon, 2 Feb 2026 02:40:00 +0000\r\n"
    ) == machine_part(data)


def test_a_report_has_the_header_of_a_report() -> None:
    """multipart/report (RFC 6522), no answer wanted (RFC 3834), threaded with what it is about."""
    message = read(build_dsn(REQUEST))
    assert "multipart/report" == message.get_content_type()
    assert "delivery-status" == message.get_param("report-type")
    assert "auto-replied" == message["Auto-Submitted"]
    assert "<1@x>" == message["In-Reply-To"]
    assert "Not delivered: Hello" == message["Subject"]
    assert "ana@example.com" == message["To"].addresses[0].addr_spec
    assert ["text/plain", "message/delivery-status", "text/rfc822-headers"] == [part.get_content_type() for part in message.iter_parts()]


def test_people_read_what_happened_why_and_what_to_do() -> None:
    """The address they wrote to, a sentence, the server's own words, what is next."""
    text = parts(build_dsn(REQUEST))[0].get_content()
    for expected in (
        "Your message was not delivered to:",
        "Joe@example.com",
        "Check it for typing errors",
        "550 5.1.1",
        "Nothing more will be tried.",
    ):
        assert expected in text


def test_portuguese_is_readable_and_seven_bit() -> None:
    """Quoted-printable for the accents."""
    data = build_dsn(replace(REQUEST, language="pt"))
    assert data.isascii()
    assert "A sua mensagem não foi entregue a:" in parts(data)[0].get_content()
    assert "Não entregue: Hello" == read(data)["Subject"]


def test_a_delay_says_until_when() -> None:
    """Action delayed, Will-Retry-Until, and no need to send it again."""
    data = build_dsn(
        replace(
            REQUEST, kind=DsnKind.DELAY, retry_until_s=1_770_400_000, outcomes=[(RECIPIENT, Outcome(Action.DEFERRED, "4.4.1", "timeout"))]
        )
    )
    fields = machine_part(data)
    assert b"Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: X-Carteiro; timeout\r\n" in fields
    assert b"Will-Retry-Until: Fri, 6 Feb 2026 17:46:40 +0000\r\n" in fields
    assert "6 February 2026" in parts(data)[0].get_content()


def test_a_success_keeps_each_action() -> None:
    """Delivered here, relayed elsewhere."""
    other = EnvelopeRecipient("x@y.example")
    outcomes = [(RECIPIENT, Outcome(Action.DELIVERED, "2.1.5", "")), (other, Outcome(Action.RELAYED, "", ""))]
    fields = machine_part(build_dsn(replace(REQUEST, kind=DsnKind.SUCCESS, outcomes=outcomes)))
    assert [b"delivered", b"relayed"] == [line[8:] for line in fields.split(b"\r\n") if line.startswith(b"Action: ")]
    assert [b"2.1.5", b"2.0.0"] == [line[8:] for line in fields.split(b"\r\n") if line.startswith(b"Status: ")]


def test_a_status_that_is_none_gets_its_class() -> None:
    """A peer without enhanced codes."""
    outcome = [(RECIPIENT, Outcome(Action.BOUNCED, "", ""))]
    assert b"Status: 5.0.0" in machine_part(build_dsn(replace(REQUEST, outcomes=outcome)))
    assert b"Status: 4.0.0" in machine_part(build_dsn(replace(REQUEST, kind=DsnKind.DELAY, outcomes=outcome)))


def test_the_whole_message_goes_back_when_asked_for() -> None:
    """RET=FULL: message/rfc822, put between head and tail untouched."""
    original = HEADER + b"body\r\n"
    request = replace(REQUEST, returns_message=True)
    part = parts(build_dsn(request, original))[2]
    assert "message/rfc822" == part.get_content_type()
    assert "body\r\n" == part.get_content().get_content()
    frame = frame_dsn(request)
    assert build_dsn(request, original) == frame.head + original + frame.tail
    assert (Body.SEVEN_BIT, False) == (frame.body, frame.smtputf8)


def test_what_is_not_seven_bit_is_declared() -> None:
    """8-bit and binary messages come back as they are."""
    eight = frame_dsn(replace(REQUEST, returns_message=True, envelope=replace(REQUEST.envelope, body=Body.EIGHT_BIT_MIME)))
    assert Body.EIGHT_BIT_MIME is eight.body
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit" in eight.head
    binary = frame_dsn(replace(REQUEST, returns_message=True, envelope=replace(REQUEST.envelope, body=Body.BINARY_MIME)))
    assert Body.BINARY_MIME is binary.body
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary" in binary.head


def test_international_addresses_use_the_global_forms() -> None:
    """RFC 6533; SMTPUTF8 is needed only when the report itself goes to such an address."""
    recipient = EnvelopeRecipient("josé@exemplo.example")
    request = replace(REQUEST, envelope=Envelope("ana@example.com", (recipient,), smtputf8=True), outcomes=[(recipient, OUTCOME)])
    data = build_dsn(request)
    assert "Final-Recipient: utf-8; josé@exemplo.example".encode() in machine_part(data)
    assert [b"global-delivery-status", b"global-headers"] == [part.subtype for part in scan(data).children[1:]]
    assert not frame_dsn(request).smtputf8
    assert frame_dsn(replace(request, envelope=replace(request.envelope, reverse_path="zé@x.example"))).smtputf8
    assert b"Content-Type: message/global\r\n" in frame_dsn(replace(request, returns_message=True)).head


def test_nothing_a_peer_said_leaves_its_field() -> None:
    """Line ends, endless replies, a Message-ID that is none."""
    hostile = Outcome(Action.BOUNCED, "5.0.0\r\nX: y", "", "550 a\r\nSubject: b " + "word " * 900, "mx\r\nX: z")
    data = build_dsn(
        replace(REQUEST, outcomes=[(RECIPIENT, hostile)], original_header=b"Message-ID: <a> <b>\r\nSubject: " + b"x" * 500 + b"\r\n\r\n")
    )
    fields = machine_part(data)
    assert not any(line.startswith((b"X: ", b"Subject:")) for line in fields.split(b"\r\n"))
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    assert read(data)["In-Reply-To"] is None


def test_no_line_is_too_long() -> None:
    """998 octets, however many characters that is, and whatever two parts a field has."""
    recipient = replace(RECIPIENT, orcpt="a" * 900 + ";" + "b" * 900)
    outcome = replace(OUTCOME, diagnostic="550 " + "\N{SNOWMAN}" * 900, remote_mta="\N{SNOWMAN}" * 900)
    envelope = replace(REQUEST.envelope, smtputf8=True, envid="\N{SNOWMAN}" * 900)
    data = build_dsn(replace(REQUEST, envelope=envelope, outcomes=[(recipient, outcome)]))
    assert max(map(len, data.split(b"\r\n"))) <= 998


def test_a_message_id_that_is_none_is_not_repeated() -> None:
    """Only printable ASCII gets from a stranger's Message-ID into our own header section."""
    for odd in (b"<1\xe1@x>", b"<1\x1b@x>", b"<1\0@x>", b"<1 @x>", b"1@x"):
        data = build_dsn(replace(REQUEST, original_header=b"Message-ID: " + odd + b"\r\n\r\n"))
        assert b"In-Reply-To" not in data
        assert data.partition(b"\r\n\r\n")[0].isascii()
