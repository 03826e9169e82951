"""Mail programs with large mailboxes: NeoMutt walks in ten thousand messages, offlineimap, which is slower, takes two thousand both ways."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.bulk import fill, log_in
from tests.interop.running import run
from tests.interop.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(300)]

Need = Callable[[str], str]
MESSAGES = 10_000
SYNCHRONISED = 2_000
FLAGGED, EXPUNGED, UNLINKED = range(100), range(100, 150), range(1_000, 1_020)


def ids(*numbers: int) -> set[str]:
    return {f"Message-ID: <{number}@test>" for number in numbers}


def files(inbox: Path) -> list[Path]:
    return sorted(path for folder in ("new", "cur") for path in (inbox / folder).iterdir())


def message_id(path: Path) -> str:
    return next(line for line in path.read_text().splitlines() if line.startswith("Message-ID:"))


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_offlineimap(user: str, make_office: Any, tmp_path: Path, need_program: Need) -> None:
    """All comes down once; flags and deletions go both ways; another run changes nothing."""
    need_program("offlineimap")
    office = make_office()
    with log_in(office.ports["imap"], user) as client:
        fill(client, SYNCHRONISED)
    (tmp_path / "offlineimaprc").write_text(
        textwrap.dedent(f"""\
        [general]
        accounts = office
        metadata = {tmp_path}/meta
        ui = quiet
        fsync = false
        [Account office]
        localrepository = near
        remoterepository = far
        [Repository near]
        type = Maildir
        localfolders = {tmp_path}/local
        [Repository far]
        type = IMAP
        remotehost = 127.0.0.1
        remoteport = {office.ports["imap"]}
        remoteuser = {user}
        remotepass = {user}-secret
        ssl = no
        starttls = no
        maxconnections = 3
        folderfilter = lambda name: name == "INBOX"
        """)
    )

    def synchronise() -> None:
        run("offlineimap", "-o", "-c", str(tmp_path / "offlineimaprc"), patience_s=200, HOME=str(tmp_path))

    synchronise()
    inbox = tmp_path / "local" / "INBOX"
    assert SYNCHRONISED == len(files(inbox))
    assert ids(*range(SYNCHRONISED)) == set(map(message_id, files(inbox)))
    with log_in(office.ports["imap"], user) as client:
        client.select("INBOX")
        client.store("1:100", "+FLAGS.SILENT", "\\Flagged")
        client.store("101:150", "+FLAGS.SILENT", "\\Deleted")
        client.expunge()
    for path in files(inbox):
        if message_id(path) in ids(*UNLINKED):
            path.unlink()
    synchronise()
    kept = files(inbox)
    assert SYNCHRONISED - len(EXPUNGED) - len(UNLINKED) == len(kept)
    assert ids(*range(SYNCHRONISED)) - ids(*EXPUNGED, *UNLINKED) == set(map(message_id, kept))
    assert ids(*FLAGGED) == {message_id(path) for path in kept if "F" in path.name.rpartition(":2,")[2]}
    with log_in(office.ports["imap"], user) as client:
        assert [str(len(kept)).encode()] == client.select("INBOX")[1]
        assert len(FLAGGED) == len(client.search(None, "FLAGGED")[1][0].split())
    synchronise()
    assert kept == files(inbox)


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_neomutt(user: str, make_office: Any, tmp_path: Path, terminal: Any, need_program: Need) -> None:
    """It opens, jumps to the last, searches in the bodies on the server, deletes what was found, and hears of new mail."""
    need_program("neomutt")
    office = make_office()
    with log_in(office.ports["imap"], user) as client:
        fill(client, MESSAGES)
        client.append("INBOX", "", None, b"Message-ID: <needle@test>\r\nSubject: plain\r\n\r\nthe needle is here\r\n")
    (tmp_path / "muttrc").write_text(
        f'set folder="imap://{user}@127.0.0.1:{office.ports["imap"]}/"\nset imap_pass="{user}-secret"\nset ssl_starttls=no ssl_force_tls=no\n'
        f'set spool_file="+INBOX"\nset header_cache="{tmp_path}/headers"\nset record=""\nset quit=yes delete=yes mark_old=no sort=mailbox-order\n'
        "set imap_idle=yes imap_condstore=yes imap_qresync=yes timeout=1 mail_check=1\n"
    )
    for known in (False, True):  # the second time it has what it needs, and asks for what is new
        terminal.run(["neomutt", "-n", "-F", str(tmp_path / "muttrc")], {"HOME": str(tmp_path), "TERM": "screen"})
        terminal.wait_for("Msgs:")
        terminal.type("*")
        if known:
            terminal.wait_for("number 9999")
            with log_in(office.ports["imap"], user) as client:
                client.append("INBOX", "", None, b"Message-ID: <news@test>\r\nSubject: news from elsewhere\r\n\r\nx\r\n")
            wait_until(lambda: terminal.type("*") or "news from elsewhere" in terminal.screen, "news on the screen")
        else:
            terminal.wait_for("plain")
            terminal.type("D", "=b needle", "Enter")
        terminal.type("q")
        terminal.wait_for("ended")
        terminal.close()
    with log_in(office.ports["imap"], user) as client:
        assert [str(MESSAGES + 1).encode()] == client.select("INBOX")[1]
        assert [b""] == client.search(None, "BODY needle")[1]
