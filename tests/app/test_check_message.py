"""``carteiro check-message``: findings as words and as JSON, from a file of records or a name server."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.app.check_message import RecordsError, RecordsFile
from appliance.app.cli import main
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus
from tests.policy.dkimkeys import ZONE, dkimpy_sign

MESSAGE = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"
RECORDS: dict[str, Any] = {name: {"TXT": text} for name, text in ZONE.items()} | {
    "example.com": {"TXT": ["v=spf1 mx -all"], "MX": ["20 b.example.com.", "10 a.example.com"]},
    "a.example.com": {"A": ["192.0.2.1"]},
    "b.example.com": {"CNAME": ["a.example.com"]},
    "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"]},
    "broken.example": "FAIL",
    "loop.example": {"CNAME": ["loop.example"]},
    "bare.example": {"CNAME": []},
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A signed message with the line ends of a text file, and the records."""
    (tmp_path / "message").write_bytes(dkimpy_sign(MESSAGE).replace(b"\r\n", b"\n"))
    (tmp_path / "zone.json").write_text(json.dumps(RECORDS))
    return str(tmp_path / "message"), str(tmp_path / "zone.json")


def check(files: tuple[str, str], *more: str, ip: str = "192.0.2.1") -> int:
    return main(["check-message", "--ip", ip, "--helo", "a.example.com", "--from", "a@example.com", "--dns", files[1], *more, files[0]])


def test_the_findings_as_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a script could want."""
    assert 0 == check(files, "--json")
    found = json.loads(capsys.readouterr().out)
    expected = ("pass", "pass", "pass", "none", "taken")
    assert expected == (found["spf"]["result"], found["dkim"][0]["result"], found["dmarc"]["result"], found["arc"]["result"], found["fate"])


def test_the_findings_in_words(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each check, the fate, and the fields that would be written."""
    Path(files[0]).write_bytes(b"From a@example.com now\n" + MESSAGE.replace(b"\r\n", b"\n"))
    assert 0 == check(files, "--hostname", "mx.example.org", ip="203.0.113.1")
    out = capsys.readouterr().out
    assert out.startswith(
        "SPF   fail      example.com (-all)\nDKIM  none (no signature)\nDMARC fail      example.com (p=reject of example.com)\n"
    )
    assert "It would be refused: The domain example.com in From" in out
    assert "Authentication-Results: mx.example.org;\n\tspf=fail" in out


@pytest.mark.parametrize(
    ("records", "code"), [("[]", 65), ("{", 65), ('{"a": 1}', 65), ('{"a": {"SOA": []}}', 65), ('{"a": {"A": [1]}}', 65)]
)
def test_records_that_make_no_sense(files: tuple[str, str], capsys: pytest.CaptureFixture[str], records: str, code: int) -> None:
    """Are told with the file's name."""
    Path(files[1]).write_text(records)
    assert code == check(files)
    assert files[1] in capsys.readouterr().err


def test_a_file_that_is_not_there(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 66, as sysexits has it."""
    Path(files[0]).unlink()
    assert 66 == check(files)
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("example.com", "MX", DnsAnswer(DnsStatus.FOUND, ("a.example.com", "b.example.com"))),
        ("B.example.com.", "A", DnsAnswer(DnsStatus.FOUND, ("192.0.2.1",))),
        ("a.example.com", "AAAA", DnsAnswer(DnsStatus.EMPTY)),
        ("no.example.com", "A", DnsAnswer(DnsStatus.MISSING)),
        ("broken.example", "A", DnsAnswer(DnsStatus.FAILED)),
        ("loop.example", "A", DnsAnswer(DnsStatus.FAILED)),
        ("bare.example", "A", DnsAnswer(DnsStatus.EMPTY)),
    ],
)
def test_records_of_a_file(name: str, kind: str, expected: DnsAnswer) -> None:
    """As a name server would answer."""
    assert expected == RecordsFile(RECORDS).answer(DnsQuestion(name, kind))


def test_a_mail_host_needs_its_preference() -> None:
    """The error says how it should look."""
    with pytest.raises(RecordsError, match=r"10 mx\.example\.com"):
        RecordsFile({"a.example": {"MX": ["mx.example.com"]}}).answer(DnsQuestion("a.example", "MX"))
