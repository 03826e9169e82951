"""Carteiro beside a real Dovecot: mail moves from one to the other and back, and Dovecot opens what carteiro wrote."""

import hashlib
import imaplib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.bulk import log_in
from tests.interop.conftest import free_ports
from tests.interop.dovecot import running_dovecot

pytestmark = pytest.mark.interop

Need = Callable[[str], str]
CORPUS = Path(__file__).parents[1] / "message" / "data"
FLAGS = ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded", "project-x"]
FOLDERS = ["INBOX", "Work", "Work/Deep", "Caf&AOk-", "with space", "dots.in.name"]
Messages = dict[str, list[tuple[str, frozenset[str], str]]]
"""For each folder its messages in order: hash of the bytes, flags, internal date."""

LISTESCAPE = 'mail_plugins = $mail_plugins listescape\nplugin {\n  listescape_char = "\\\\"\n}\n'


@pytest.fixture
def dovecot(need_program: Need) -> Iterator[Any]:
    need_program("doveadm")
    with running_dovecot({"imap": free_ports(1)[0]}, extra=LISTESCAPE) as server:
        yield server


def quoted(name: str) -> str:
    return f'"{name}"'


def fill(client: imaplib.IMAP4, count: int) -> None:
    """Put messages of every kind into every folder; each ends with a line end, as every mbox does."""
    pick = random.Random(7)
    bodies = [
        path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n" for path in sorted(CORPUS.glob("*.msg"))
    ]
    bodies += [
        b"Subject: 8-bit \xe9\xff\r\n\r\n\xe1\xe9 latin\r\n.\r\n..\r\nFrom here\r\n>From there\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 70_000 + b"\r\n",
    ]
    for folder in FOLDERS:
        if folder != "INBOX":
            assert "OK" == client.create(quoted(folder))[0]
        for number in range(count):
            flags = " ".join(pick.sample(FLAGS, pick.randrange(4)))
            date = f'"{pick.randrange(1, 29):2d}-Feb-{2000 + number} 0{number % 10}:11:22 -0330"'
            said = client.append(quoted(folder), f"({flags})", date, pick.choice(bodies))
            assert "OK" == said[0], said


def item(pattern: str, head: str) -> str:
    found = re.search(pattern, head)
    assert found is not None, head
    return found[1]


def contents(client: imaplib.IMAP4) -> Messages:
    """Return everything that a mailbox has."""
    found: Messages = {}
    for folder in FOLDERS:
        assert "OK" == client.select(quoted(folder), readonly=True)[0]
        rows = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
        messages = []
        for row in rows:
            if isinstance(row, tuple):
                head = row[0].decode()
                data = row[1]
                flags = frozenset(item(r"FLAGS \(([^)]*)\)", head).lower().split()) - {"\\recent"}
                date = imaplib.Internaldate2tuple(row[0])
                assert date is not None
                messages.append((hashlib.sha256(data).hexdigest(), flags, repr(date[:6])))
        found[folder] = messages
        client.unselect()
    return found


def transfer(source: imaplib.IMAP4, target: imaplib.IMAP4) -> None:
    """Copy every message with flags and date, as imapsync does."""
    for folder in FOLDERS:
        if folder != "INBOX":
            target.create(quoted(folder))
        assert "OK" == source.select(quoted(folder), readonly=True)[0]
        for row in source.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(row, tuple):
                head = row[0].decode()
                flags = " ".join(flag for flag in item(r"FLAGS \(([^)]*)\)", head).split() if flag != "\\Recent")
                date = item(r'INTERNALDATE ("[^"]*")', head)
                said = target.append(quoted(folder), f"({flags})", date, row[1])
                assert "OK" == said[0], said
        source.unselect()


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_there_and_back(user: str, make_office: Any, dovecot: Any) -> None:
    """Dovecot to carteiro to Dovecot: byte-identical messages, the same flags and internal dates in the same folders."""
    office = make_office()
    with (
        log_in(dovecot.ports["imap"], "ana") as first,
        log_in(office.ports["imap"], user) as middle,
        log_in(dovecot.ports["imap"], "bob") as last,
    ):
        fill(first, 12)
        wanted = contents(first)
        transfer(first, middle)
        assert wanted == contents(middle)
        transfer(middle, last)
        assert wanted == contents(last)
    assert len(FOLDERS) * 12 == sum(map(len, wanted.values()))


def test_dovecot_opens_our_maildir(make_office: Any, dovecot: Any) -> None:
    """Stop carteiro, let Dovecot have a copy: the same UIDs, UIDVALIDITY, flags, keywords and dates; what it adds goes on counting."""
    office = make_office()
    with log_in(office.ports["imap"], "ana") as client:
        fill(client, 6)
        client.select(quoted("Work"))
        client.store("2", "+FLAGS", "\\Deleted")
        client.expunge()
        client.unselect()
        wanted = contents(client)
        uids = {folder: numbers(client, folder) for folder in FOLDERS}
    office.stop()
    dovecot.adopt("ana", office.data / "mail" / "ana")
    with log_in(dovecot.ports["imap"], "ana") as client:
        assert wanted == contents(client)
        assert uids == {folder: numbers(client, folder) for folder in FOLDERS}
        client.append(quoted("Work"), "", None, b"Subject: by Dovecot\r\n\r\nx\r\n")
        client.select(quoted("Work"))
        assert [b"1 3 4 5 6 7"] == client.uid("SEARCH", "ALL")[1]


def numbers(client: imaplib.IMAP4, folder: str) -> tuple[bytes, bytes, bytes]:
    """Return UIDVALIDITY, UIDNEXT and the UIDs of a folder."""
    client.select(quoted(folder), readonly=True)
    status = client.response("UIDVALIDITY")[1][0], client.response("UIDNEXT")[1][0]
    found = client.uid("SEARCH", "ALL")[1][0]
    client.unselect()
    return (*status, found)


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_doveadm_backup_and_sync_over_imap(user: str, make_office: Any, dovecot: Any, tmp_path: Path) -> None:
    """Dovecot as an IMAP client (imapc): dsync takes everything over, and takes over what changed since."""
    office = make_office()
    with log_in(office.ports["imap"], user) as client:
        fill(client, 5)
        wanted = contents(client)
    remote = [
        "-o", "imapc_host=127.0.0.1", "-o", f"imapc_port={office.ports['imap']}", "-o", f"imapc_user={user}", "-o", f"imapc_password={user}-secret",
        "-o", "imapc_features=fetch-headers rfc822.size", "-o", "mail_prefetch_count=20",
    ]  # fmt: skip
    dovecot.doveadm(*remote, "backup", "-R", "-u", "ana", "imapc:")
    dovecot.own(dovecot.maildir("ana"))
    with log_in(dovecot.ports["imap"], "ana") as client:
        assert wanted == contents(client)
    with log_in(office.ports["imap"], user) as client:
        client.select(quoted("Work"))
        client.store("1", "+FLAGS", "(\\Flagged later)")
        client.store("2", "+FLAGS", "\\Deleted")
        client.expunge()
        client.append("INBOX", "", None, b"Subject: later\r\n\r\nx\r\n")
        client.unselect()
        wanted = contents(client)
    dovecot.doveadm(*remote, "backup", "-R", "-u", "ana", "imapc:")
    dovecot.own(dovecot.maildir("ana"))
    with log_in(dovecot.ports["imap"], "ana") as client:
        assert wanted == contents(client)
