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
from tests.interop.waiting import wait_until

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


def remote_settings(office: Any, user: str) -> list[str]:
    """Return options of ``doveadm`` that make ``imapc:`` a user's mail at carteiro."""
    return [
        "-o", "imapc_host=127.0.0.1", "-o", f"imapc_port={office.ports['imap']}", "-o", f"imapc_user={user}", "-o", f"imapc_password={user}-secret",
        "-o", "imapc_features=fetch-headers rfc822.size", "-o", "mail_prefetch_count=20",
    ]  # fmt: skip


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_doveadm_backup_over_imap(user: str, make_office: Any, dovecot: Any, tmp_path: Path) -> None:
    """Dovecot as an IMAP client (imapc): dsync takes everything over, and takes over what changed since."""
    office = make_office()
    with log_in(office.ports["imap"], user) as client:
        fill(client, 5)
        wanted = contents(client)
    remote = remote_settings(office, user)
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


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_doveadm_sync_over_imap(user: str, make_office: Any, dovecot: Any) -> None:
    """Merging in one direction (no imapc destination can take a GUID, not Dovecot's own either): what is only here stays, what is new there comes."""
    office = make_office()
    remote = remote_settings(office, user)
    with log_in(office.ports["imap"], user) as there, log_in(dovecot.ports["imap"], "ana") as here:
        fill(there, 3)
        dovecot.doveadm(*remote, "sync", "-1", "-R", "-u", "ana", "imapc:")
        dovecot.own(dovecot.maildir("ana"))
        assert contents(there) == contents(here)
        here.append(quoted("Work"), "(only-here)", '" 5-May-2025 12:34:56 +0200"', b"Subject: here\r\n\r\nx\r\n")
        there.append(quoted("INBOX"), "(only-there)", '" 5-May-2025 12:34:56 +0200"', b"Subject: there\r\n\r\nx\r\n")
        there.select(quoted("with space"))
        there.store("1:3", "+FLAGS", "(\\Flagged later)")
        there.unselect()
        dovecot.doveadm(*remote, "sync", "-1", "-R", "-u", "ana", "imapc:")
        dovecot.own(dovecot.maildir("ana"))
        mine, theirs = contents(there), contents(here)
    extra = theirs["Work"].pop()
    assert {"only-here"} == extra[1]
    assert mine == theirs


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_carteiro_behind_a_dovecot(user: str, make_office: Any, need_program: Need) -> None:
    """A Dovecot that keeps no mail and asks carteiro for everything (imapc): adding, marking, copying, deleting, searching, news; and doveadm import."""
    need_program("doveadm")
    office = make_office()
    port = office.ports["imap"]
    extra = f"imapc_host = 127.0.0.1\nimapc_port = {port}\nimapc_user = {user}\nimapc_password = {user}-secret\n"
    extra += "imapc_features = rfc822.size fetch-headers search\n" + LISTESCAPE
    with (
        running_dovecot({"imap": free_ports(1)[0]}, extra=extra, locations={"ana": "imapc:~/imapc"}) as proxy,
        log_in(port, user) as direct,
        log_in(proxy.ports["imap"], "ana") as client,
    ):
        fill(client, 3)
        wanted = contents(direct)
        assert len(FOLDERS) * 3 == sum(map(len, wanted.values()))
        assert wanted == contents(client)
        client.select(quoted("Work"))
        client.store("1", "FLAGS", "(\\Flagged changed)")
        client.store("2", "+FLAGS", "\\Deleted")
        assert [b"2"] == client.expunge()[1]
        assert "OK" == client.copy("1:2", quoted("with space"))[0]
        client.unselect()
        wanted = contents(direct)
        assert [2, 5] == [len(wanted[folder]) for folder in ("Work", "with space")]
        assert {"\\flagged", "changed"} == wanted["Work"][0][1] == wanted["with space"][3][1]
        assert wanted == contents(client)
        assert "OK" == client.rename(quoted("Work/Deep"), quoted("Elsewhere"))[0]
        assert "OK" == direct.select(quoted("Elsewhere"), readonly=True)[0]
        client.select("INBOX")
        direct.append("INBOX", "", None, b"Subject: needle in the hay\r\n\r\nx\r\n")
        wait_until(lambda: hears(client, 4), "news by way of Dovecot", 30)
        assert [b"4"] == client.search(None, "SUBJECT", "needle")[1]
        _import_mail(proxy)
        wait_until(lambda: hears(client, 5), "what was imported", 30)
        assert [b"5"] == client.search(None, "SUBJECT", "imported")[1]


def hears(client: imaplib.IMAP4, count: int) -> bool:
    """Whether the server has told that there are so many messages."""
    client.noop()
    return client.response("EXISTS")[1] == [str(count).encode()]


def _import_mail(proxy: Any) -> None:
    place = proxy.directory / "import"
    for name in ("cur", "new", "tmp"):
        (place / name).mkdir(parents=True)
    (place / "cur" / "1700000000.M1P1.host:2,FS").write_bytes(b"Subject: imported\n\nx\n")
    proxy.own(place)
    proxy.doveadm("import", "-u", "ana", f"maildir:{place}", "", "mailbox", "INBOX", "all")
