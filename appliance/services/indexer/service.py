"""Fills the text index of every account while nobody waits for it.

Owns how much of the processor that may take: a batch of few messages, then a
rest so long that the batch was the share that the settings give. While the
process itself has more to do than that, it rests on. It goes through all
mailboxes once, then looks again only at those whose files changed; what it has
done stands in the index, so that a restart or a lost index costs no more than
what is missing. An account whose index reached its bound gets no more text kept;
its searches look into the messages.

Fails:    never; an account or mailbox that cannot be read is passed over until the next round, and logged once.
Does not: know how text is kept (``storage.finder``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import trio

from appliance.model.errors import ApplianceError
from appliance.model.finding import TextKeeper
from appliance.model.ids import AccountName, MailboxName
from appliance.model.mailbox import MailboxInfo, Snapshot
from appliance.model.ports import Offload
from appliance.observe.maillog import MailLog

__all__ = ["Indexer", "Progress", "Searchable", "SearchableMailbox"]

BATCH: Final = 8
"""Messages taken in one hop: some 5 ms, more for large ones."""
ROUND_S: Final = 60.0
BUSY: Final = 0.5
"""So much of one processor used by everything else in this process, and we rest on."""
LONGEST_REST_S: Final = 60.0


class SearchableMailbox(Protocol):
    def snapshot(self) -> Snapshot: ...

    @property
    def finder(self) -> TextKeeper: ...


class Searchable(Protocol):
    """What is needed of an account's store; see ``model.ports.MailStore``."""

    def list_mailboxes(self) -> Sequence[MailboxInfo]: ...

    def open_mailbox(self, name: MailboxName) -> SearchableMailbox: ...

    def fingerprint(self, name: MailboxName) -> object:
        """Return a value that changes when the mailbox's files do. Blocks: disk."""

    def sweep_texts(self) -> None:
        """Forget the text of mailboxes that are gone."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one account was ``looked_ago_s`` ago; mail that came since is seen at the next look.

    ``state``: filling, whole, or full when the bound was reached.
    """

    account: AccountName
    messages: int
    indexed: int
    kept_bytes: int
    state: Literal["filling", "whole", "full"]
    looked_ago_s: float


class _Account:
    def __init__(self) -> None:
        self.counts: dict[MailboxName, tuple[int, int]] = {}
        self.seen: dict[MailboxName, object] = {}
        self.kept_bytes = 0
        self.is_full = False
        self.is_failing = False
        self.looked_at_s = trio.current_time()
        self.is_counted = False
        """True once all mailboxes were looked at."""


class Indexer:
    """``accounts``: who is to be indexed, asked each round. ``share_percent``: of one processor. ``cpu_s``: what this process used so far."""

    def __init__(
        self,
        *,
        accounts: Callable[[], Sequence[AccountName]],
        store: Callable[[AccountName], Searchable],
        offload: Offload,
        mail_log: MailLog,
        share_percent: int,
        max_bytes: int,
        cpu_s: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._offload = offload
        self._mail_log = mail_log
        self._rest_factor = max(100 / share_percent - 1, 0)
        self._max_bytes = max_bytes
        self._cpu_s = cpu_s
        self._known: dict[AccountName, _Account] = {}

    def progress(self) -> list[Progress]:
        """Return how far each account is. In memory."""
        found = []
        for name, known in sorted(self._known.items()):
            messages = sum(total for total, _ in known.counts.values())
            indexed = sum(done for _, done in known.counts.values())
            is_whole = known.is_counted and indexed >= messages
            state: Literal["filling", "whole", "full"] = "whole" if is_whole else "full" if known.is_full else "filling"
            found.append(Progress(name, messages, indexed, known.kept_bytes, state, trio.current_time() - known.looked_at_s))
        return found

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            await self.go_round()
            await trio.sleep(ROUND_S)

    async def go_round(self) -> None:
        """Index what is missing in every account."""
        names = self._accounts()
        for gone in self._known.keys() - set(names):
            del self._known[gone]
        for name in names:
            known = self._known.setdefault(name, _Account())
            try:
                await self._index_account(name, known)
                known.is_failing = False
            except ApplianceError as error:
                if not known.is_failing:
                    known.is_failing = True
                    self._mail_log.warning("text_index_failed", user=name, reason=str(error))

    async def _index_account(self, name: AccountName, known: _Account) -> None:
        store = await self._offload.run(self._store, name)
        infos = [info for info in await self._offload.run(store.list_mailboxes) if info.selectable]
        if known.counts.keys() - {info.name for info in infos}:
            await self._offload.run(store.sweep_texts)
        known.counts = {info.name: known.counts.get(info.name, (0, 0)) for info in infos}
        known.looked_at_s = trio.current_time()
        for info in infos:
            print_of = await self._offload.run(store.fingerprint, info.name)
            if known.seen.get(info.name) == print_of:
                continue
            mailbox = await self._offload.run(store.open_mailbox, info.name)
            if await self._index_mailbox(info.name, mailbox, known):
                known.seen[info.name] = print_of
        known.is_counted = True

    async def _index_mailbox(self, name: MailboxName, mailbox: SearchableMailbox, known: _Account) -> bool:
        """Return whether all of the mailbox is indexed now."""
        uids = mailbox.snapshot().uids
        finder = mailbox.finder
        # What is gone is forgotten on the way.
        await self._offload.run(finder.missing, uids)
        missing = await self._offload.run(finder.missing_texts, uids)
        done = len(uids) - len(missing)
        known.counts[name] = (len(uids), done)
        for low in range(0, len(missing), BATCH):
            known.kept_bytes = await self._offload.run(finder.kept_bytes)
            known.is_full = known.kept_bytes >= self._max_bytes
            if known.is_full:
                return False
            batch = missing[low : low + BATCH]
            began_s = self._cpu_s()
            await self._offload.run(finder.learn_texts, batch)
            done += len(batch)
            known.counts[name] = (len(uids), done)
            await self._rest(self._cpu_s() - began_s)
        known.kept_bytes = await self._offload.run(finder.kept_bytes)
        return True

    async def _rest(self, took_s: float) -> None:
        """Sleep in proportion to what was taken, and on while others keep the processor busy, but not for ever."""
        rest_s = min(max(took_s * self._rest_factor, 0.001), LONGEST_REST_S)
        rested_s = 0.0
        while rested_s < LONGEST_REST_S:
            used_s = self._cpu_s()
            await trio.sleep(rest_s)
            rested_s += rest_s
            if self._cpu_s() - used_s < BUSY * rest_s:
                return
            rest_s = min(max(2 * rest_s, 0.05), LONGEST_REST_S)
