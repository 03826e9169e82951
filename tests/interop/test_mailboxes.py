"""Mail on disk belongs to every program: mutt, mailx, cp and rm change it while the server serves it."""

import contextlib
import imaplib
import os
import poplib
import shutil
import smtplib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.waiting import wait_until

pytestmark = pytest.mark.interop


def deliver(office: Any, user: str, *subjects: str) -> None:
    """Put messages into an INBOX by SMTP and wait for them."""
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
        for number, subject in enumerate(subjects):
            client.sendmail(
                "friend@elsewhere.example", [f"{user}@office.example"],
                f"From: friend@elsewhere.example\r\nTo: {user}@office.example\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 10:00:{number:02} +0000\r\n\r\nFrom here on: {subject}\r\n",
            )  # fmt: skip
    wait_until(lambda: set(subjects) <= set(over_imap(office, user)), f"delivery to {user}")


@contextlib.contextmanager
def imap(office: Any, user: str) -> Any:
    """A logged-in IMAP session; loopback needs no TLS."""
    with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as client:
        client.login(user, f"{user}-secret")
        yield client


def over_imap(office: Any, user: str) -> list[str]:
    """Return the subjects of INBOX as IMAP tells them."""
    with imap(office, user) as client:
        client.select("INBOX", readonly=True)
        numbers = client.search(None, "ALL")[1][0].split()
        fetched = [client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1] for number in numbers]
        return [subject.decode().partition(": ")[2].strip() for subject in fetched]


def over_pop3(office: Any, user: str) -> list[str]:
    """Return the subjects of the maildrop as POP3 tells them."""
    client = poplib.POP3("127.0.0.1", office.ports["pop3"], timeout=30)
    client.user(user)
    client.pass_(f"{user}-secret")
    found = [
        line.partition(b": ")[2].decode()
        for number in range(1, client.stat()[0] + 1)
        for line in client.top(number, 0)[1]
        if line.startswith(b"Subject:")
    ]
    client.quit()
    return found


def test_mutt_deletes_from_the_mbox(make_office: Any, terminal: Any, need_program: Any, tmp_path: Path) -> None:
    """What mutt removes from the text file is gone over IMAP and POP3, what it leaves stays."""
    need_program("mutt")
    office = make_office()
    deliver(office, "bob", "first", "second", "third")
    mbox = office.data / "mail" / "bob" / "bob.mbox"
    (tmp_path / "muttrc").write_text("set quit=yes delete=yes move=no mark_old=no\nset record=\nset folder=~\n")
    terminal.run(["mutt", "-n", "-F", str(tmp_path / "muttrc"), "-f", str(mbox)], {"HOME": str(tmp_path), "TERM": "screen"})
    terminal.wait_for("third")
    terminal.type("2", "Enter", "d", "q")
    terminal.wait_for("ended")
    wait_until(lambda: over_imap(office, "bob") == ["first", "third"], f"{over_imap(office, 'bob')}")
    assert over_pop3(office, "bob") == ["first", "third"]
    deliver(office, "bob", "fourth")
    assert over_imap(office, "bob") == ["first", "third", "fourth"]


def test_mailx_reads_and_deletes(make_office: Any, need_program: Any, tmp_path: Path) -> None:
    """s-nail on the mbox: headers are listed, a deleted message is gone for the server."""
    program = need_program("s-nail")
    office = make_office()
    deliver(office, "davi", "alpha", "beta")
    mbox = office.data / "mail" / "davi" / "davi.mbox"
    listed = subprocess.run(
        [program, "-n", "-R", "-H", "-f", str(mbox)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HOME": str(tmp_path)},
        timeout=60,
    )
    assert "alpha" in listed.stdout
    assert "beta" in listed.stdout
    done = subprocess.run(
        [program, "-n", "-S", "nokeep", "-f", str(mbox)], input="delete 1\nquit\n", capture_output=True, text=True, check=False,
        env=os.environ | {"HOME": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until(lambda: over_imap(office, "davi") == ["beta"], f"{over_imap(office, 'davi')}")
    assert over_pop3(office, "davi") == ["beta"]


def test_plain_commands_on_the_maildir(make_office: Any) -> None:
    """rm takes a message away, cp brings one, mv of a folder's file moves it, all seen by an open session too."""
    office = make_office()
    deliver(office, "ana", "one", "two", "three")
    maildir = office.data / "mail" / "ana"
    with imap(office, "ana") as client:
        assert client.select("INBOX")[1] == [b"3"]
        by_subject = {
            next(line for line in path.read_text().splitlines() if line.startswith("Subject: "))[9:]: path
            for folder in ("new", "cur")
            for path in (maildir / folder).iterdir()
        }
        by_subject["two"].unlink()
        wait_until(lambda: client.noop()[0] == "OK" and client.search(None, "ALL")[1] == [b"1 2"], "the removal in the open session")
        foreign = maildir / "tmp" / "copied"
        foreign.write_text("From: x@example.com\nSubject: copied in\n\nbody\n")
        shutil.move(foreign, maildir / "new" / "1234567890.x.somewhere")
        wait_until(lambda: client.noop()[0] == "OK" and client.search(None, "ALL")[1] == [b"1 2 3"], "the new file in the open session")
    assert over_imap(office, "ana") == ["one", "three", "copied in"]
    assert over_pop3(office, "ana") == ["one", "three", "copied in"]


def test_mutt_on_the_maildir(make_office: Any, terminal: Any, need_program: Any, tmp_path: Path) -> None:
    """Mutt deletes one message of a Maildir and flags another; IMAP tells both."""
    need_program("mutt")
    office = make_office()
    deliver(office, "ana", "first", "second")
    (tmp_path / "muttrc").write_text("set quit=yes delete=yes move=no mark_old=no\nset record=\nset folder=~\n")
    terminal.run(
        ["mutt", "-n", "-F", str(tmp_path / "muttrc"), "-f", str(office.data / "mail" / "ana")], {"HOME": str(tmp_path), "TERM": "screen"}
    )
    terminal.wait_for("second")
    terminal.type("1", "Enter", "d", "2", "Enter", "F", "q")
    terminal.wait_for("ended")
    wait_until(lambda: over_imap(office, "ana") == ["second"], f"{over_imap(office, 'ana')}")
    with imap(office, "ana") as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "FLAGGED")[1] == [b"1"]


def test_pop3_empties_what_imap_sees(make_office: Any) -> None:
    """A POP3 session's deletions are told to the IMAP session that has the mailbox open."""
    for_user = "ana"
    office = make_office()
    deliver(office, for_user, "one", "two")
    with imap(office, for_user) as client:
        assert client.select("INBOX")[1] == [b"2"]
        pop3 = poplib.POP3("127.0.0.1", office.ports["pop3"], timeout=30)
        pop3.user(for_user)
        pop3.pass_(f"{for_user}-secret")
        for number in range(1, pop3.stat()[0] + 1):
            pop3.dele(number)
        assert client.noop()[0] == "OK"
        assert client.search(None, "ALL")[1] == [b"1 2"]
        pop3.quit()
        wait_until(lambda: client.noop()[0] == "OK" and client.search(None, "ALL")[1] in ([b""], [None]), "an empty INBOX")
