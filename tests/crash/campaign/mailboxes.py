"""What lies in the mailboxes: over IMAP as people see it, and as files as other programs see it."""

import imaplib
import mailbox
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .message import digest, token_of
from .server import USERS, Server

__all__ = ["clear_folder", "file_tokens", "imap_session", "read_inbox", "spare_files"]

_CHUNK = 50


@contextmanager
def imap_session(server: Server, user: str) -> Iterator[imaplib.IMAP4]:
    """A logged-in session."""
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=120)
    try:
        client.login(user, f"{user}-secret")
        yield client
    finally:
        try:
            client.logout()
        except (OSError, imaplib.IMAP4.error):
            client.shutdown()


def read_inbox(server: Server, user: str) -> list[tuple[str, str]]:
    """Return token and digest of every message in the inbox."""
    found = []
    with imap_session(server, user) as client:
        count = int((client.select("INBOX", readonly=True)[1][0] or b"0").decode())
        for first in range(1, count + 1, _CHUNK):
            _, parts = client.fetch(f"{first}:{min(count, first + _CHUNK - 1)}", "(BODY.PEEK[])")
            found += [(token_of(part[1]), digest(part[1])) for part in parts if isinstance(part, tuple)]
    assert len(found) == count, f"{user}: {len(found)} of {count} fetched"
    return found


def clear_folder(server: Server, user: str, folder: str = "INBOX") -> None:
    """Remove every message of a folder."""
    with imap_session(server, user) as client:
        if client.select(folder)[1][0] != b"0":
            client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
            assert client.expunge()[0] == "OK"
        assert client.select(folder)[1][0] == b"0"


def file_tokens(server: Server, user: str) -> Counter[str]:
    """Return the tokens in the files of the inbox, read by the standard library."""
    directory = server.data / "mail" / user
    is_mbox = USERS.index(user) % 2
    box: mailbox.Mailbox[mailbox.Message] = (
        mailbox.mbox(directory / f"{user}.mbox", create=False) if is_mbox else mailbox.Maildir(directory, create=False)
    )
    try:
        return Counter(str(box[key]["X-Token"]) for key in box.iterkeys())
    finally:
        box.close()


def spare_files(server: Server) -> list[str]:
    """Return content files that no queue entry names; only for an empty queue."""
    return sorted(path.name for path in (server.data / "queue" / "content").iterdir())
