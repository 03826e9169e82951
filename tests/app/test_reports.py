"""``carteiro reports``: sums over files and Maildirs, in sentences."""

import gzip
import json
from pathlib import Path

import pytest

from appliance.app.cli import main
from appliance.storage.received_reports import ReceivedReports
from appliance.storage.report_results import ReportResults, SentReport
from tests.message.test_reports import TLS, XML


def test_reports_are_told_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each report once, however often it came; both kinds."""
    (tmp_path / "cur").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "cur" / "1").write_bytes(gzip.compress(XML))
    (tmp_path / "cur" / "2").write_bytes(XML)
    bad = XML.replace(b"<report_id>42", b"<report_id>43").replace(b"<dkim>pass", b"<dkim>fail").replace(b"n>none</disp", b"n>reject</disp")
    (tmp_path / "new" / "3").write_bytes(bad)
    (tmp_path / "new" / "4").write_bytes(json.dumps(TLS).encode())
    assert 0 == main(["reports", str(tmp_path)])
    out = capsys.readouterr().out
    assert "example.com, 2023-11-14 to 2023-11-15: 14 messages reported by Example Org." in out
    assert "  7 of them passed DMARC, 7 did not; 7 were refused or put into Junk." in out
    assert "  7 from 192.0.2.1 passed by one of SPF and DKIM only" in out
    assert "  7 from 192.0.2.1 failed: if that is a server of yours" in out
    assert "company-y.example, 2016-04-01: Company-X had 5326 good and 303 failed sessions under policy sts." in out
    assert "  100 failed with certificate-expired at mx1." in out


def test_reports_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no report is told beside it."""
    (tmp_path / "good").write_bytes(XML)
    (tmp_path / "other").write_bytes(b"Subject: hello\r\n\r\nno report\r\n")
    assert 0 == main(["reports", "--json", str(tmp_path / "good"), str(tmp_path / "other")])
    captured = capsys.readouterr()
    assert "example.com" == json.loads(captured.out)[0]["domain"]
    assert "other: no report: nothing attached looks like one" in captured.err


def test_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit codes of sysexits."""
    assert 66 == main(["reports", str(tmp_path / "gone")])
    (tmp_path / "other").write_bytes(b"Subject: hello\r\n\r\nno report\r\n")
    assert 65 == main(["reports", str(tmp_path / "other")])
    assert "No such file" in capsys.readouterr().err


def test_what_was_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To whom, on which day, or why not; and where to turn it on."""
    assert 0 == main(["reports", "--sent", "--data", str(tmp_path)])
    assert "No report was sent; [reports] dmarc and tls" in capsys.readouterr().out
    results = ReportResults(tmp_path / "reports.db")
    results.note_sent(SentReport("dmarc", 20_000, "a.example", 1.0, "d@a.example", 7))
    results.note_sent(SentReport("tls", 20_000, "b.example", 2.0, "", 3, "nobody takes reports"))
    results.close()
    assert 0 == main(["reports", "--sent", "--data", str(tmp_path)])
    assert [
        "2024-10-04, b.example: 3 TLS sessions, not sent: nobody takes reports.",
        "2024-10-04, a.example: 7 messages, sent to d@a.example.",
    ] == capsys.readouterr().out.splitlines()
    assert 0 == main(["reports", "--sent", "--json", "--data", str(tmp_path)])
    assert ["tls", "dmarc"] == [one["kind"] for one in json.loads(capsys.readouterr().out)]


def test_what_has_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name: what the server has kept, and where to turn that on while it is nothing."""
    assert 0 == main(["reports", "--data", str(tmp_path)])
    assert "No report has come; [reports] addresses" in capsys.readouterr().out
    kept = ReceivedReports(tmp_path / "received.db")
    kept.add([gzip.compress(XML), b"PK broken", json.dumps(TLS).encode()], 1.0)
    kept.close()
    assert 0 == main(["reports", "--data", str(tmp_path)])
    captured = capsys.readouterr()
    assert "example.com, 2023-11-14 to 2023-11-15: 7 messages reported by Example Org." in captured.out
    assert "company-y.example, 2016-04-01: Company-X had 5326 good" in captured.out
    assert "a report that cannot be read" in captured.err
