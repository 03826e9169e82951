"""mutt and s-nail read and change what we wrote, and we see what they did."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.ids import INBOX, AccountName, Uid
from appliance.model.mailbox import Flag, FlagAction, NewMessage
from appliance.storage.mailbox import FileMailbox
from appliance.storage.stores import FileMailStores

ANA = AccountName("ana")
pytestmark = pytest.mark.interop

MUTTRC = """set folder=/tmp
unset record
set quit=yes
set delete=yes
set move=no
set mbox_type=Maildir
set wait_key=no
"""


@pytest.fixture
def inbox(stores: FileMailStores, new_message: Callable[..., NewMessage]) -> FileMailbox:
    """Four messages, the third flagged, seen and with a keyword."""
    stores.deliver(ANA, [(INBOX, new_message(name, queue_id=f"Q{name}")) for name in "abcd"])
    mailbox = stores.account(ANA).open_mailbox(INBOX)
    mailbox.store_flags([Uid(3)], FlagAction.ADD, Flag.FLAGGED | Flag.SEEN, ["Work"])
    return mailbox


def run_mutt(home: Path, mailbox: Path, keys: str) -> None:
    (home / "muttrc").write_text(MUTTRC)
    command = f"mutt -F {home}/muttrc -f {mailbox} -e 'push \"{keys}<sync-mailbox><quit>\"'"
    environment = {"HOME": str(home), "TERM": "xterm", "PATH": os.environ["PATH"]}
    subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=True,
    )


@pytest.mark.skipif(not (shutil.which("mutt") and shutil.which("script")), reason="mutt or script is not installed")
def test_mutt(inbox: FileMailbox, tmp_path: Path, mail_root: Path, mail_format: str, make_stores: Callable[..., FileMailStores]) -> None:
    """mutt deletes the first message and flags another: uids, keywords and the bytes of the rest stay."""
    before = inbox.snapshot()
    texts = {uid: inbox.open_message(Uid(uid)).read() for uid in (2, 3, 4)}
    run_mutt(
        tmp_path,
        mail_root / "ana.mbox" if mail_format == "mbox" else mail_root,
        "<delete-pattern>~sa<enter><limit>~sd<enter><flag-message>",
    )
    assert inbox.refresh()
    after = inbox.snapshot()
    assert (before.uid_validity, [2, 3, 4], before.keywords) == (after.uid_validity, list(after.uids), after.keywords)
    assert before.flags[2] == after.flags[1]
    assert Flag.FLAGGED == after.flags[2]
    assert texts == {uid: inbox.open_message(Uid(uid)).read() for uid in (2, 3, 4)}
    assert after == make_stores().account(ANA).open_mailbox(INBOX).snapshot()


@pytest.mark.skipif(not shutil.which("s-nail"), reason="s-nail is not installed")
def test_mailx(inbox: FileMailbox, mail_root: Path, mail_format: str) -> None:
    """mailx reads one message of the mbox and deletes another."""
    if mail_format != "mbox":
        pytest.skip("mailx is about mbox")
    texts = {uid: inbox.open_message(Uid(uid)).read() for uid in (1, 3, 4)}
    subprocess.run(
        ["s-nail", "-n", "-f", str(mail_root / "ana.mbox")],
        input=b"type 1\ndelete 2\nquit\n",
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert inbox.refresh()
    assert ([1, 3, 4], Flag.SEEN) == (list(inbox.snapshot().uids), inbox.snapshot().flags[0])
    assert texts == {uid: inbox.open_message(Uid(uid)).read() for uid in (1, 3, 4)}
