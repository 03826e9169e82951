"""Transcripts show the conversation and no password."""

import pytest

from appliance.observe.transcript import Transcript

SECRET = "c2VjcmV0"


def written(*turns: tuple[str, bytes]) -> list[str]:
    lines: list[str] = []
    transcript = Transcript(lambda side, text: lines.append(f"{side}: {text}"))
    for side, data in turns:
        (transcript.received if side == "C" else transcript.sent)(data)
    return lines


def test_plain_conversation() -> None:
    """Lines come with their side; what is not printable is escaped."""
    lines = written(("S", b"+OK ready\r\n"), ("C", b"CA"), ("C", b"PA\r\nNOOP \x1b\r\n"))
    assert ["S: +OK ready", "C: CAPA", "C: NOOP \\x1b"] == lines


@pytest.mark.parametrize(
    "turns",
    [
        [("C", b"PASS c2VjcmV0\r\n"), ("S", b"+OK in\r\n")],
        [("C", b"USER a\r\nPASS c2VjcmV0\r\nSTAT\r\n"), ("S", b"+OK\r\n+OK\r\n")],
        [("C", b"AUTH PLAIN c2VjcmV0\r\n"), ("S", b"235 in\r\n")],
        [("C", b"auth login\r\n"), ("S", b"334 VXNlcm5hbWU6\r\n"), ("C", b"c2VjcmV0\r\n"), ("S", b"334 x\r\n"), ("C", b"c2VjcmV0\r\n"), ("S", b"535 no\r\n")],
        [("C", b"NOOP\r\nAUTH LOGIN\r\n"), ("S", b"250 ok\r\n"), ("S", b"334 x\r\n"), ("C", b"c2VjcmV0\r\n"), ("S", b"235 in\r\n")],
        [("C", b"a1 LOGIN ana c2VjcmV0\r\n"), ("S", b"a1 OK in\r\n")],
        [("C", b"a1 login {3}\r\n"), ("S", b"+ go\r\n"), ("C", b"ana {8}\r\n"), ("S", b"+ go\r\n"), ("C", b"c2VjcmV0\r\n"), ("S", b"a1 OK in\r\n")],
        [("C", b"a1 NOOP\r\na2 LOGIN {3+}\r\n"), ("S", b"a1 OK\r\n"), ("C", b"ana {8+}\r\nc2VjcmV0\r\n"), ("S", b"a2 NO x\r\n")],
        [("C", b"a1 AUTHENTICATE PLAIN c2VjcmV0\r\n"), ("S", b"a1 OK in\r\n")],
        [("C", b"x\r\n" * 100 + b"PASS c2VjcmV0\r\nPASS c2VjcmV0\r\n"), ("C", b"c2VjcmV0\r\n"), ("S", b"+OK\r\n")],
    ],
)  # fmt: skip
def test_secrets_are_hidden(turns: list[tuple[str, bytes]]) -> None:
    """However a password travels, nothing of it is written, and the conversation is shown again afterwards."""
    lines = written(*turns, ("C", b"shown again\r\n"))
    assert SECRET not in "\n".join(lines)
    assert "C: shown again" == lines[-1]


def test_secret_cut_into_single_bytes() -> None:
    """The redaction does not depend on how the bytes arrive."""
    lines = written(*[("C", bytes((octet,))) for octet in b"PASS c2VjcmV0\r\n"], ("S", b"+OK\r\n"))
    assert ["C: PASS <redacted>", "S: +OK"] == lines


def test_idle_does_not_hide_for_ever() -> None:
    """A continuation that was no login ends with the next tagged response."""
    lines = written(("C", b"a IDLE\r\n"), ("S", b"+ idling\r\n"), ("C", b"DONE\r\n"), ("S", b"a OK done\r\n"), ("C", b"b NOOP\r\n"))
    assert "C: b NOOP" == lines[-1]


def test_bulk_is_cut() -> None:
    """Long lines and many lines leave a short trace and little in memory."""
    lines = written(("S", b"x" * 10_000 + b"\r\n" + b"y\r\n" * 1_000))
    assert lines[0].endswith("... (10000 octets)")
    assert lines[-1].startswith("S: ... 9")
    assert 65 == len(lines)
