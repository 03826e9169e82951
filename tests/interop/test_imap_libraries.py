"""IMAP by the libraries that programs are written with: each runs a whole session on both stores and sees the same."""

import datetime
import imaplib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.running import run

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).parent / "programs"
Need = Callable[[str], str]
USERS = ["ana", "bob"]
FOLDERS = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]


@pytest.mark.parametrize("user", USERS)
def test_imapflow(user: str, make_office: Any, need_program: Need) -> None:
    """The client of Node.js: names in UTF-8, APPEND with flags and date, IDLE, MOVE by UID, all read back."""
    need_program("node")
    modules = os.environ.get("CARTEIRO_NODE_MODULES", "")
    if not Path(modules, "imapflow").is_dir():
        assert os.environ.get("CI") != "true", "imapflow is not installed"
        pytest.skip("imapflow is not installed: packaging/test does it")
    office = make_office()
    seen = json.loads(run("node", str(PROGRAMS / "imapflow.cjs"), str(office.ports["imap"]), user, f"{user}-secret", NODE_PATH=modules))
    expected = {
        "mailboxes": FOLDERS,
        "created": "Café/Année 2026",
        "appendedUid": 1,
        "exists": 2,
        "found": [1],
        "subject": "Olá from Node",
        "flags": ["$Node", "\\Seen"],
        "internalDate": "2026-03-03T10:00:00.000Z",
        "identical": True,
        "type": "text/plain",
        "news": 3,
        "moved": [1],
        "left": 1,
        "there": 1,
        "after": sorted([*FOLDERS, "Café"]),
    }
    assert expected == seen


@pytest.mark.parametrize("user", USERS)
def test_mail_imapclient(user: str, make_office: Any, need_program: Need) -> None:
    """Perl's client, which imapsync is made of."""
    need_program("perl")
    if subprocess.run(["perl", "-MMail::IMAPClient", "-e1"], capture_output=True, check=False).returncode:
        assert os.environ.get("CI") != "true", "Mail::IMAPClient is not installed"
        pytest.skip("Mail::IMAPClient is not installed")
    office = make_office()
    said = run("perl", str(PROGRAMS / "mail_imapclient.pl"), str(office.ports["imap"]), user, f"{user}-secret")
    expected = [
        "folders " + ",".join(FOLDERS), "count 1", "header 1", "uid 1", "identical yes", "subject from Perl", "size 81",
        "date 3-Mar-2026 10:00:00 +0000", "flags \\Flagged", "unseen 0", "from <ana@example.com>", "type TEXT PLAIN", "left 0", "inbox 1",
    ]  # fmt: skip
    assert expected == [" ".join(line.split()) for line in said.splitlines()]


@pytest.mark.parametrize("user", USERS)
def test_python_imapclient(user: str, make_office: Any) -> None:
    """The IMAPClient package: its parser reads our answers, and all its extensions work."""
    imapclient = pytest.importorskip("imapclient")
    office = make_office()
    moment = datetime.datetime(2026, 3, 3, 10, 0, 0, tzinfo=datetime.UTC)
    message = "From: ana@example.com\r\nSubject: Olá\r\n\r\ncorpo\r\n".encode()
    with imapclient.IMAPClient("127.0.0.1", office.ports["imap"], ssl=False) as client:
        client.normalise_times = False
        client.login(user, f"{user}-secret")
        client.create_folder("Anotações & more")
        client.append("Anotações & more", message, [b"\\Flagged"], moment)
        assert {b"EXISTS": 1, b"READ-WRITE": True} == {
            key: value for key, value in client.select_folder("Anotações & more").items() if key in {b"EXISTS", b"READ-WRITE"}
        }
        assert [1] == client.search(["FLAGGED", "UNSEEN"])
        assert [1] == client.search(["SUBJECT", "olá"], "UTF-8")
        found = client.fetch([1], ["ENVELOPE", "BODY[]", "FLAGS", "INTERNALDATE", "BODYSTRUCTURE"])[1]
        assert message == found[b"BODY[]"]
        assert moment == found[b"INTERNALDATE"].astimezone(datetime.UTC)
        assert (b"ana", b"example.com") == (found[b"ENVELOPE"].from_[0].mailbox, found[b"ENVELOPE"].from_[0].host)
        assert {1: (b"\\Flagged", b"\\Seen", b"tagged")} == {
            uid: tuple(flag for flag in sorted(flags) if flag != b"\\Recent") for uid, flags in client.add_flags([1], [b"tagged"]).items()
        }
        client.idle()
        with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as other:
            other.login(user, f"{user}-secret")
            other.append('"Anota&AOcA9Q-es &- more"', "", "", message)
        assert (2, b"EXISTS") in client.idle_check(timeout=20)
        client.idle_done()
        client.move([1], "INBOX")
        assert [2] == client.search()
        client.unselect_folder()
        assert {b"MESSAGES": 1} == client.folder_status("INBOX", ["MESSAGES"])
        assert (b"/",) == (client.namespace().personal[0][1].encode(),)
        client.delete_folder("Anotações & more")


@pytest.mark.parametrize("user", USERS)
def test_imaplib(user: str, make_office: Any) -> None:
    """Python's own, which scripts use with all its raw strings."""
    office = make_office()
    with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as client:
        client.login(user, f"{user}-secret")
        for number in range(3):
            assert (
                "OK"
                == client.append(
                    "INBOX", r"(\Seen)" if number else "", '" 3-Mar-2026 10:00:00 +0000"', b"Subject: n%d\r\n\r\nx\r\n" % number
                )[0]
            )
        assert [b"3"] == client.select()[1]
        assert [b"1"] == client.search(None, "UNSEEN")[1]
        assert b"1 (UID 1 RFC822.SIZE 18)" == client.fetch("1", "(UID RFC822.SIZE)")[1][0]
        assert "OK" == client.store("2", "+FLAGS.SILENT", r"\Deleted")[0]
        assert [b"2"] == client.expunge()[1]
        assert "OK" == client.uid("COPY", "3", "Archive")[0]
        assert "OK" == client.close()[0]
        assert b'"INBOX" (MESSAGES 2)'.replace(b'"', b"") == client.status("INBOX", "(MESSAGES)")[1][0].replace(b'"', b"")
        assert "BYE" == client.logout()[0]
