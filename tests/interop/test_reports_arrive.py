"""Reports of other servers, mailed to a running server: delivered, kept, and told by ``carteiro reports``."""

import gzip
import os
import smtplib
import subprocess
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from tests.interop.conftest import ROOT, Carteiro, carteiro_command
from tests.interop.waiting import PATIENCE_S
from tests.message.test_reports import XML

pytestmark = pytest.mark.interop

MORE = '[checks]\nauthenticate = false\n[reports]\naddresses = ["sales@office.example"]\n'


def report(data: bytes) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "noreply@far.example", "sales@office.example", "Report Domain: example.com"
    message.set_content("See the attachment.")
    message.add_attachment(data, maintype="application", subtype="gzip", filename="far.example!example.com!1!2.xml.gz")
    return message


def test_a_report_is_told_after_it_was_delivered(make_office: Callable[..., Carteiro]) -> None:
    """By an alias of two people; a bomb beside it is delivered and not kept; what was kept outlives the mail."""
    server = make_office(more=MORE)
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
        for data in (gzip.compress(XML), gzip.compress(b"<feedback>" + b"\0" * 9_000_000)):
            smtp.send_message(report(data), "noreply@far.example", ["sales@office.example"])
    server.wait_for_mail("ana", 2)
    server.wait_for_log("event=report_kept")
    server.wait_for_log("event=report_not_kept")
    for path in (server.data / "mail" / "ana" / "new").iterdir():
        path.unlink()
    told = subprocess.run(
        [*carteiro_command(), "reports", "--data", str(server.data)], capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "example.com, 2023-11-14 to 2023-11-15: 7 messages reported by Example Org." in told.stdout
