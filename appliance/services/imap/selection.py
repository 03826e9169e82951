"""The selected mailbox of one session, and the watch that notices when others change it.

The watch marks our knowledge as stale, so that a NOOP without news needs no
thread, and in IDLE it has the session tell the news itself.

Sources:  RFC 3501 section 7.2.6 (FLAGS), section 7.1 (PERMANENTFLAGS).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from appliance.message.part import Part
from appliance.model.ids import Uid
from appliance.model.ports import Mailbox
from appliance.services.imap.contexts import Contexts
from appliance.services.imap.view import MailboxView

if TYPE_CHECKING:
    from appliance.services.imap.session import Session

__all__ = ["Selected", "tell_flags"]


class Selected:
    """The selected mailbox of one session."""

    __slots__ = (
        "_stopped",
        "_waiting",
        "contexts",
        "is_stale",
        "mailbox",
        "owes_highest",
        "read_only",
        "refreshed_at_s",
        "structure",
        "view",
    )

    def __init__(self, mailbox: Mailbox, view: MailboxView, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.view = view
        self.read_only = read_only
        self.refreshed_at_s = trio.current_time()
        self.is_stale = False
        self.owes_highest = False
        """VANISHED was sent, and HIGHESTMODSEQ has to follow (RFC 7162 section 3.2.7)."""
        self.contexts: Contexts | None = None
        self.structure: tuple[Uid, Part] | None = None
        """The tree of the last large message that was fetched; its parts are fetched in pieces."""
        self._waiting = trio.CancelScope()
        self._stopped = trio.Event()

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()
        self._waiting.cancel()

    async def watch(self, session: "Session", *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Listen to the change feed until ``stop``; in IDLE tell what changed."""
        assert session.account is not None
        is_first = True
        while not self._stopped.is_set():
            name = self.mailbox.name
            with session.shared.feed.subscribe(session.account, name) as subscription:
                if is_first:
                    is_first = False
                    task_status.started()
                # A mailbox that was renamed goes on under its new name; under the old one there may be another.
                while not self._stopped.is_set() and self.mailbox.name == name:
                    # Only the waiting is cancelled: a send that is cut in two breaks the connection.
                    with trio.CancelScope() as self._waiting:
                        await subscription.wait_changed()
                        self.is_stale = True
                    if not self._stopped.is_set():
                        await session.tell_news()


def tell_flags(session: "Session", selected: Selected) -> None:
    """Tell FLAGS and PERMANENTFLAGS."""
    keywords: Sequence[str] = selected.view.keywords
    names = " ".join(["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", *keywords]).encode("ascii")
    permanent = b"" if selected.read_only else names + (b" \\*" if selected.view.snapshot.more_keywords else b"")
    session.send(b"* FLAGS (%b)\r\n" % names)
    session.note("Flags that are kept", b"PERMANENTFLAGS (%b)" % permanent)
