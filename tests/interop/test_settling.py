"""A message deleted the moment it arrived does not come back, whatever happens to the server."""

import imaplib
import smtplib
from typing import Any

import pytest

pytestmark = pytest.mark.interop


def send(office: Any, user: str, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
        client.sendmail("x@elsewhere.example", [f"{user}@office.example"], f"Subject: {subject}\r\n\r\nbody\r\n")


@pytest.mark.parametrize("user", ["ana", "bob"])
def test_expunged_at_once_and_killed(make_office: Any, user: str) -> None:
    """For Maildir and mbox: deliver, expunge before the next flush, kill -9, start: the mailbox is empty."""
    office = make_office()
    for number in range(3):
        send(office, user, f"gone {number}")
        with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as client:
            client.login(user, f"{user}-secret")
            client.select("INBOX")
            while client.noop()[0] == "OK" and client.search(None, "ALL")[1] in ([b""], [None]):
                pass
            client.store("1:*", "+FLAGS", "\\Deleted")
            assert client.expunge()[0] == "OK"
    office.kill()
    office.start()
    with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as client:
        client.login(user, f"{user}-secret")
        assert client.select("INBOX")[1] == [b"0"]
    assert "event=recipient_attempted" not in office.log.rpartition("event=server_started")[2]
