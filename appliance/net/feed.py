"""Who watches which mailbox, and how they hear of a change (``model.ports.ChangeFeed``).

Owns the subscriptions and the watch on the files of subscribed mailboxes, so
that a message which mutt, rsync or procmail put there wakes IDLE, too. Changes
made while a subscriber is at work count as one.
Fails: a path that inotify cannot watch (or a system without it) is looked at
every ten seconds.
Does not: tell what changed; the subscriber refreshes its mailbox and sees.

Sources: RFC 2177 (IDLE), RFC 5465 section 5.8 (bounded), inotify(7).
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import trio

from appliance.model.changes import Changes, NameChange, NamePlaces
from appliance.model.ids import AccountName, MailboxName
from appliance.model.ports import Offload
from appliance.net.inotify import Inotify

__all__ = ["TrioChangeFeed"]

_Key = tuple[AccountName, MailboxName]
_POLL_S = 10.0
_MAX_NAMES = 1_000
"""Changes of names kept for a watcher that does not take them."""
_ALL_NAMES = MailboxName("")
"""Stands for the names of an account where else a mailbox does."""


class _Subscription:
    """One subscriber's mark: something changed since it last looked."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed = trio.Event()

    def mark(self) -> None:
        self._changed.set()

    async def wait_changed(self) -> None:
        await self._changed.wait()
        self._changed = trio.Event()


class _AccountSubscription:
    """One watcher's list of what changed; bounded, and who falls behind is told so."""

    __slots__ = ("_changed", "_mailboxes", "_names", "_overflown", "_unnamed")

    def __init__(self) -> None:
        self._changed = trio.Event()
        self._mailboxes: dict[MailboxName, None] = {}
        self._names: dict[NameChange, None] = {}
        self._unnamed = False
        self._overflown = False

    def mark(self, mailbox: MailboxName) -> None:
        if mailbox == _ALL_NAMES:
            self._unnamed = True
        else:
            self._mailboxes[mailbox] = None  # no more than are watched
        self._changed.set()

    def note(self, change: NameChange) -> None:
        if len(self._names) < _MAX_NAMES:
            self._names[change] = None
        else:
            self._overflown = True
        self._changed.set()

    async def wait_changes(self) -> Changes:
        await self._changed.wait()
        self._changed = trio.Event()
        return self.changes_nowait()

    def changes_nowait(self) -> Changes:
        changes = Changes(tuple(self._mailboxes), tuple(self._names), self._unnamed, self._overflown)
        self._mailboxes, self._names, self._unnamed, self._overflown = {}, {}, False, False
        return changes


class _Watched(_Subscription):
    """Marks a mailbox in the list of a watcher of several."""

    __slots__ = ("_list", "_mailbox")

    def __init__(self, watcher: _AccountSubscription, mailbox: MailboxName) -> None:
        super().__init__()
        self._list = watcher
        self._mailbox = mailbox

    def mark(self) -> None:
        self._list.mark(self._mailbox)


class TrioChangeFeed:
    """The change feed of one trio run. ``paths`` says which directories and files make up a mailbox.

    ``run`` must run for files changed by other programs to be noticed.
    """

    def __init__(
        self,
        *,
        offload: Offload,
        paths: Callable[[AccountName, MailboxName], Sequence[str | os.PathLike[str]]] | None = None,
        inotify: bool = True,
    ) -> None:
        """Make the feed inside the trio run; ``inotify=False`` polls. Raises nothing where inotify is missing."""
        self._token = trio.lowlevel.current_trio_token()
        self._offload = offload
        self._paths_of = paths
        self._subscribers: dict[_Key, set[_Subscription]] = {}
        self._watchers: dict[AccountName, set[_AccountSubscription]] = {}
        self._keys_of_path: dict[str, set[_Key]] = {}
        self._matters: dict[str, Callable[[bytes], bool]] = {}
        self._marks: dict[str, tuple[int, int, int]] = {}
        self._inotify: Inotify | None = None
        if inotify and paths is not None:
            try:
                self._inotify = Inotify(self._on_path_changed)
            except OSError:
                self._inotify = None

    def publish(self, account: AccountName, mailbox: MailboxName) -> None:
        """Wake who watches the mailbox. From any thread; costs a dictionary look-up when nobody does."""
        key = (account, mailbox)
        if key not in self._subscribers:
            return
        if trio.lowlevel.in_trio_run():
            self._wake(key)
            return
        with suppress(trio.RunFinishedError):  # Then nobody is left to wake.
            self._token.run_sync_soon(self._wake, key, idempotent=True)

    def publish_name(self, account: AccountName, change: NameChange) -> None:
        """Tell who watches the account. From any thread; heard of in the order of the calls."""
        if account not in self._watchers:
            return
        if trio.lowlevel.in_trio_run():
            self._note(account, change)
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._note, account, change)

    def _note(self, account: AccountName, change: NameChange) -> None:
        for watcher in self._watchers.get(account, ()):
            watcher.note(change)

    @contextmanager
    def watch_account(self, account: AccountName, mailboxes: Collection[MailboxName], places: NamePlaces) -> Iterator[_AccountSubscription]:
        """Watch several mailboxes of an account, and all names, until the block ends."""
        watcher = _AccountSubscription()
        self._watchers.setdefault(account, set()).add(watcher)
        try:
            with ExitStack() as stack:
                names = (account, _ALL_NAMES)
                stack.enter_context(self._subscribed(names, _Watched(watcher, _ALL_NAMES), ()))
                for path in places.directories:
                    self._matters[path] = places.matters
                    self._watch(names, [path])
                self._watch(names, places.files)
                for mailbox in mailboxes:
                    stack.enter_context(self._subscribed((account, mailbox), _Watched(watcher, mailbox)))
                yield watcher
        finally:
            self._watchers[account].discard(watcher)
            if not self._watchers[account]:
                del self._watchers[account]

    @contextmanager
    def subscribe(self, account: AccountName, mailbox: MailboxName) -> Iterator[_Subscription]:
        """Watch one mailbox until the block ends."""
        subscription = _Subscription()
        with self._subscribed((account, mailbox), subscription):
            yield subscription

    @contextmanager
    def _subscribed(self, key: _Key, subscription: _Subscription, paths: Iterable[str] | None = None) -> Iterator[None]:
        subscribers = self._subscribers.get(key)
        if subscribers is None:
            subscribers = self._subscribers[key] = set()
            if paths is None:
                paths = () if self._paths_of is None else [os.fspath(path) for path in self._paths_of(*key)]
            self._watch(key, paths)
        subscribers.add(subscription)
        try:
            yield
        finally:
            subscribers.discard(subscription)
            if not subscribers:
                del self._subscribers[key]
                self._unwatch(key)

    async def run(self) -> None:
        """Notice files changed by other programs, for ever."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._poll_forever)
                if self._inotify is not None:
                    nursery.start_soon(self._inotify.run)
        finally:
            if self._inotify is not None:
                self._inotify.close()
                self._inotify = None

    def _wake(self, key: _Key) -> None:
        for subscription in self._subscribers.get(key, ()):
            subscription.mark()

    def _watch(self, key: _Key, paths: Iterable[str]) -> None:
        for path in paths:
            self._keys_of_path.setdefault(path, set()).add(key)
            if not self._is_told_of(path):
                self._marks[path] = _mark_of(path)

    def _is_told_of(self, path: str) -> bool:
        """Tell whether the kernel will say when the path changes, from now on."""
        return self._inotify is not None and self._inotify.watch(path, self._matters.get(path))

    def _unwatch(self, key: _Key) -> None:
        for path in [path for path, keys in self._keys_of_path.items() if key in keys]:
            keys = self._keys_of_path[path]
            keys.discard(key)
            if not keys:
                del self._keys_of_path[path]
                self._marks.pop(path, None)
                self._matters.pop(path, None)
                if self._inotify is not None:
                    self._inotify.unwatch(path)

    def _on_path_changed(self, path: str | None) -> None:
        """Wake the watchers of a path; of all when the kernel lost count. A path that went away is polled until it is back."""
        for changed in [path] if path is not None else list(self._keys_of_path):
            for key in self._keys_of_path.get(changed, ()):
                self._wake(key)
            if changed in self._keys_of_path and self._inotify is not None and not self._is_told_of(changed):
                self._marks[changed] = _mark_of(changed)

    async def _poll_forever(self) -> None:
        while True:
            await trio.sleep(_POLL_S)
            if not self._marks:
                continue
            found = await self._offload.run(_marks_of, tuple(self._marks))
            for path, mark in found.items():
                if self._marks.get(path, mark) == mark:
                    continue
                self._marks[path] = mark
                for key in self._keys_of_path.get(path, ()):
                    self._wake(key)
                if self._is_told_of(path):
                    self._marks.pop(path, None)  # It is back: the kernel tells from now on.


def _mark_of(path: str) -> tuple[int, int, int]:
    """Return what changes when a directory gets or loses an entry, or a file is written or replaced."""
    try:
        found = os.stat(path)  # noqa: PTH116 - text in
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _marks_of(paths: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    return {path: _mark_of(path) for path in paths}
