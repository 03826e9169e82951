"""Mbsync with a large mailbox, both ways, and killed in the middle: nothing doubled, nothing lost."""

import collections
import imaplib
import os
import random
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.bulk import fill, log_in
from tests.interop.running import run
from tests.interop.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

Need = Callable[[str], str]
MESSAGES = 10_000


def settings(office: Any, user: str, directory: Path) -> Path:
    path = directory / "mbsyncrc"
    path.write_text(
        textwrap.dedent(f"""\
        IMAPAccount office
        Host 127.0.0.1
        Port {office.ports["imap"]}
        User {user}
        Pass {user}-secret
        SSLType None
        AuthMechs LOGIN
        PipelineDepth 50

        IMAPStore far
        Account office

        MaildirStore near
        Path {directory}/local/
        Inbox {directory}/local/INBOX
        SubFolders Verbatim

        Channel all
        Far :far:
        Near :near:
        Patterns *
        Create Both
        Remove Both
        Expunge Both
        SyncState *
        """)
    )
    (directory / "local").mkdir(exist_ok=True)
    return path


def sync(path: Path) -> None:
    run("mbsync", "-c", str(path), "-a", patience_s=300, HOME=str(path.parent))


def local_names(directory: Path, folder: str = "INBOX") -> list[str]:
    return [path.name for name in ("new", "cur") for path in (directory / "local" / folder / name).iterdir()]


def message_ids(directory: Path) -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    for name in ("new", "cur"):
        for path in (directory / "local" / "INBOX" / name).iterdir():
            with path.open() as file:
                found[file.readline().strip()] += 1
    return found


def remote_ids(client: imaplib.IMAP4) -> collections.Counter[str]:
    client.select("INBOX", readonly=True)
    rows = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
    client.unselect()
    return collections.Counter(row[1].decode().strip() for row in rows if isinstance(row, tuple))


EXPECTED = collections.Counter(f"Message-ID: <{number}@test>" for number in range(MESSAGES))


@pytest.mark.parametrize("user", ["ana", "bob"], ids=["maildir", "mbox"])
def test_ten_thousand_messages_both_ways(user: str, make_office: Any, tmp_path: Path, need_program: Need) -> None:
    """Killed twice in the first run; then flags, deletions, new mail and folders go both ways; a last run has nothing to do."""
    need_program("mbsync")
    office = make_office()
    rc = settings(office, user, tmp_path)
    with log_in(office.ports["imap"], user) as client:
        fill(client, MESSAGES)
    for least in (MESSAGES // 5, MESSAGES // 2):
        _kill_in_the_middle(rc, tmp_path, least)
    sync(rc)
    assert message_ids(tmp_path) == EXPECTED
    with log_in(office.ports["imap"], user) as client:
        assert remote_ids(client) == EXPECTED
        client.select("INBOX")
        client.store("1:100", "+FLAGS.SILENT", "\\Flagged")
        client.store("101:150", "+FLAGS.SILENT", "\\Deleted")
        client.expunge()
        client.create("made-there")
        client.append("made-there", "", None, b"Message-ID: <there@test>\r\nSubject: there\r\n\r\nx\r\n")
    seen = _change_here(tmp_path)
    sync(rc)
    sync(rc)
    flags = collections.Counter("".join(sorted(set(name.rpartition(":2,")[2]) & {"F", "S"})) for name in local_names(tmp_path))
    assert flags["F"] + flags["FS"] == 100
    assert MESSAGES - 50 - 20 == len(local_names(tmp_path))
    assert ["Message-ID: <there@test>"] == [
        path.read_text().splitlines()[0] for name in ("new", "cur") for path in (tmp_path / "local" / "made-there" / name).iterdir()
    ]
    with log_in(office.ports["imap"], user) as client:
        client.select("INBOX")
        assert seen == len(client.search(None, "SEEN")[1][0].split())
        assert 100 == len(client.search(None, "FLAGGED")[1][0].split())
        there = remote_ids(client)
        assert MESSAGES - 70 == len(there)
        assert {1} == set(there.values())
        assert [b"1"] == client.select("made-here")[1]
        client.unselect()
        client.delete("made-there")
        client.delete("made-here")
    before = sorted(local_names(tmp_path))
    sync(rc)
    assert before == sorted(local_names(tmp_path))


def _kill_in_the_middle(rc: Path, directory: Path, least: int) -> None:
    """Start a run, and end it as a power cut would when some messages have arrived."""
    process = subprocess.Popen(
        ["mbsync", "-c", str(rc), "-a"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": str(directory)}
    )
    inbox = directory / "local" / "INBOX"

    def arrived() -> bool:
        return process.poll() is not None or ((inbox / "new").is_dir() and len(local_names(directory)) >= least)

    wait_until(arrived, f"{least} messages by mbsync", 300)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    time.sleep(0.1)  # what it had sent is still being answered


def _change_here(directory: Path) -> int:
    """Mark 200 messages as seen, delete 20 of the others, make a folder with a message; return how many are seen."""
    pick = random.Random(3)
    inbox = directory / "local" / "INBOX"
    chosen = pick.sample(sorted(path for name in ("new", "cur") for path in (inbox / name).iterdir()), 220)
    survivors = {f"Message-ID: <{number}@test>" for number in range(150, MESSAGES)} | {
        f"Message-ID: <{number}@test>" for number in range(100)
    }
    seen = deleted = 0
    for path in chosen:
        base, _, flags = path.name.partition(":2,")
        kept = path.read_text().splitlines()[0] in survivors
        if deleted < 20 and kept and int(path.read_text().splitlines()[0][13:-6]) >= 150:
            path.rename(inbox / "cur" / f"{base}:2,{''.join(sorted(set(flags) | {'T'}))}")
            deleted += 1
        else:
            path.rename(inbox / "cur" / f"{base}:2,{''.join(sorted(set(flags) | {'S'}))}")
            seen += kept
    for name in ("cur", "new", "tmp"):
        (directory / "local" / "made-here" / name).mkdir(parents=True)
    (directory / "local" / "made-here" / "new" / "1700000000.1.here").write_text("Message-ID: <here@test>\nSubject: here\n\nx\n")
    return seen
