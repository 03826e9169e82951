"""Where fuzzing starts: the dialogues and messages that other tests use, read as bytes."""

import re
from pathlib import Path

__all__ = ["dialogue_inputs", "dialogue_outputs", "header_sections", "messages"]

TESTS = Path(__file__).resolve().parents[1]
_ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-fA-F]{2}))")
_SINGLE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def _unescaped(match: "re.Match[bytes]") -> bytes:
    return _SINGLE[match[1]] if match[1] else bytes.fromhex(match[2].decode())


def _lines(protocol: str) -> list[list[bytes]]:
    return [path.read_bytes().split(b"\n") for path in sorted((TESTS / "dialogs" / protocol).glob("*.dialog"))]


def dialogue_inputs(protocol: str) -> list[bytes]:
    """Return what the client sends in each dialogue, in one piece."""
    found = []
    for lines in _lines(protocol):
        pieces = []
        for line in lines:
            if line.startswith(b"C:"):
                pieces.append(line[3:] + b"\r\n")
            elif line.startswith(b"C|"):
                pieces.append(_ESCAPE.sub(_unescaped, line[3:]))
        found.append(b"".join(pieces))
    return found


def dialogue_outputs(protocol: str) -> list[bytes]:
    """Return what the server says in each dialogue, as far as the dialogue has it word for word."""
    return [b"".join([line[3:] + b"\r\n" for line in lines if line.startswith(b"S:")]) for lines in _lines(protocol)]


def messages() -> list[bytes]:
    """Return the odd messages, with CRLF line ends, and some of every form."""
    stored = [path.read_bytes() for path in sorted((TESTS / "message" / "data").glob("*.msg"))]
    return [re.sub(rb"\r?\n", b"\r\n", data) for data in [*stored, *_MADE]]


def header_sections() -> list[bytes]:
    return [data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for data in messages()]


_MADE = [
    b'From: Ana <ana@example.org>\nTo: bob@example.org, "Carl, Jr." <carl@example.net>\nSubject: =?utf-8?q?Ol=C3=A1?= world\n'
    b"Date: Mon, 2 Jan 2006 15:04:05 -0700 (MST)\nMessage-ID: <1@example.org>\n\nHello\n",
    b"Received: from a by b; Mon, 2 Jan 2006 15:04:05 +0000\nReceived: from c\n\tby d\nDelivered-To: x@y\nBcc: hidden@example.org\n"
    b"From: friends: a@b, c@d;\nResent-Bcc: q@r\n\nbody\n",
    b'Content-Type: multipart/mixed; boundary="outer"\nMIME-Version: 1.0\n\npre\n--outer\nContent-Type: multipart/alternative; boundary=in\n\n'
    b"--in\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nOl=C3=A1=\n x\n--in\n"
    b'Content-Type: text/html; charset="iso-8859-1"\n\n<p>Hi<br>&amp; <b>bye</b><style>x</style></p>\n--in--\n--outer\n'
    b"Content-Type: message/rfc822\n\nSubject: inner\nContent-Type: text/plain\n\nnested\n--outer\nContent-Type: application/pdf; name*0*=utf-8''a%20;"
    b' name*1=b.pdf\nContent-Disposition: attachment; filename="x.pdf"\nContent-Transfer-Encoding: base64\nContent-ID: <1>\n'
    b"Content-Language: en, pt\nContent-Location: http://x/\nContent-MD5: abc=\nContent-Description: d\n\nSGVsbG8=\n--outer--\nepilogue\n",
    b"Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\nx\n--d\n\nSubject: two\n\ny\n--d--\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=r\n\n--r\n\ntext\n--r\nContent-Type: message/delivery-status\n\n"
    b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.1.1\n--r--\n",
    b"\nno header\n",
    b"Subject: x",
]
