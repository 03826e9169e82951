"""The Dovecot that other tests compare with: it starts, serves, and opens a Maildir that carteiro wrote."""

import imaplib
import poplib
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.model.changes import NameChange
from appliance.model.content import MemoryContent
from appliance.model.ids import INBOX, AccountName, MailboxName
from appliance.model.mailbox import Flag, NewMessage
from appliance.storage.stores import FileMailStores
from tests.interop.conftest import free_ports
from tests.interop.dovecot import running_dovecot

pytestmark = pytest.mark.interop


class _NoFeed:
    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        """Nobody watches."""

    def publish_name(self, account: AccountName, change: NameChange) -> None: ...


def test_it_serves_imap_pop3_and_lmtp(need_program: Callable[[str], str]) -> None:
    """Each protocol answers on its own port, and the password is the user's."""
    need_program("dovecot")
    names = ("imap", "pop3", "lmtp")
    with running_dovecot(dict(zip(names, free_ports(3), strict=True))) as dovecot:
        with imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"], timeout=30) as imap:
            assert "OK" == imap.login("ana", "ana-secret")[0]
            assert "OK" == imap.append("INBOX", "", "", b"Subject: one\r\n\r\ntext\r\n")[0]
        pop3 = poplib.POP3("127.0.0.1", dovecot.ports["pop3"], timeout=30)
        pop3.user("ana")
        pop3.pass_("ana-secret")
        assert 1 == pop3.stat()[0]
        pop3.quit()
        assert "messages=1" in dovecot.doveadm("mailbox", "status", "-u", "ana", "messages", "INBOX")


def test_it_opens_a_maildir_that_carteiro_wrote(tmp_path: Path, need_program: Callable[[str], str]) -> None:
    """UIDs, UIDVALIDITY, flags and keywords are the same in Dovecot."""
    need_program("dovecot")
    stores = FileMailStores(tmp_path, _NoFeed())  # type: ignore[arg-type]
    store = stores.account(AccountName("ana"))
    message = NewMessage(MemoryContent(b"Subject: one\r\n\r\ntext\r\n"), 1_600_000_000.0, int(Flag.SEEN), ("$Forwarded",))
    result = store.append(INBOX, [message, message])
    stores.close()
    with running_dovecot({"imap": free_ports(1)[0]}) as dovecot:
        dovecot.adopt("ana", tmp_path / "mail" / "ana")
        with imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"], timeout=30) as imap:
            imap.login("ana", "ana-secret")
            imap.select("INBOX")
            assert [str(result.uid_validity).encode()] == imap.response("UIDVALIDITY")[1]
            assert [
                b'1 (UID 1 FLAGS (\\Seen $Forwarded) INTERNALDATE "13-Sep-2020 12:26:40 +0000")',
                b'2 (UID 2 FLAGS (\\Seen $Forwarded) INTERNALDATE "13-Sep-2020 12:26:40 +0000")',
            ] == imap.fetch("1:*", "(UID FLAGS INTERNALDATE)")[1]
