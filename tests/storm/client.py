"""One client of the storm: says random things, and believes nothing.

Between commands nothing may be told unasked; in them what ``View`` allows. At a pause the client compares what it was told
with what is there, and after a disconnection what QRESYNC told with what is there.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from tests.storm import errands
from tests.storm.model import StormError, View

__all__ = ["Client", "Line"]

_KEYWORDS = (b"$Work", b"$Later", b"Junk")
_FLAGS = (b"\\Seen", b"\\Flagged", b"\\Deleted", b"\\Answered", b"\\Draft", *_KEYWORDS)
_NEWS = re.compile(rb"UID (\d+)|^\* (\d+) UIDFETCH")
_FINE = (b"CANNOT", b"EXPUNGEISSUED", b"MODIFIED", b"INUSE", b"NONEXISTENT", b"TRYCREATE", b"NOPERM", b"ALREADYEXISTS", b"LIMIT")


class Line:
    """Lines of a stream; a literal stays inside its line."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""

    async def _until(self, size: int) -> None:
        while len(self._rest) < size:
            data = bytes(await self.stream.receive_some())
            if not data:
                raise EOFError
            self._rest += data

    async def read(self) -> bytes:
        """Return one response without its line end. Raises EOFError."""
        response = b""
        while True:
            while (end := self._rest.find(b"\r\n")) < 0:
                await self._until(len(self._rest) + 1)
            line, self._rest = self._rest[:end], self._rest[end + 2 :]
            response += line
            if not line.endswith(b"}") or b"{" not in line:
                return response
            length = int(line[line.rindex(b"{") + 1 : -1])
            await self._until(length)
            # What is in the message must not look like items.
            response += b"<literal>"
            self._rest = self._rest[length:]

    @property
    def pending(self) -> bytes:
        return self._rest


@dataclass
class Client:
    """``connect`` gives a stream of a new session, ``boxes`` are the mailboxes it may use."""

    number: int
    rnd: random.Random
    connect: Callable[[], trio.abc.Stream]
    boxes: Sequence[bytes]
    counts: Counter[str] = field(default_factory=Counter)
    view: View | None = None
    enabled: set[bytes] = field(default_factory=set)
    cache: dict[tuple[bytes, int], View] = field(default_factory=dict)
    notified: bytes = b"never asked for news"
    _line: Line | None = None
    _tag: int = 0
    _recent: list[bytes] = field(default_factory=list)

    # Talking

    async def _send(self, data: bytes) -> None:
        assert self._line is not None
        self._note(b"C: " + data)
        await self._line.stream.send_all(data)

    def _note(self, line: bytes) -> None:
        self._recent = [*self._recent[-400:], line[:200]]

    async def _read(self) -> bytes:
        assert self._line is not None
        line = await self._line.read()
        self._note(b"S: " + line)
        return line

    async def ask(self, command: bytes, *, expunge: bool = True, literal: bytes | None = None) -> list[bytes]:
        """Send a command and take in what is said until its end; return all lines."""
        self._tag += 1
        tag = b"c%d" % self._tag
        if self.view is not None:
            self.view.begin()
        await self._send(tag + b" " + command + b"\r\n")
        if literal is not None:
            await self._send(literal + b"\r\n")
        lines: list[bytes] = []
        while True:
            line = await self._read()
            lines.append(line)
            if line.startswith(tag + b" "):
                break
            self._take(line, expunge=expunge)
        self._judge(command, lines[-1])
        self.counts[command.removeprefix(b"UID ").split(b" ")[0].decode()] += 1
        return lines

    def _take(self, line: bytes, *, expunge: bool) -> None:
        if self.view is None and line.startswith(b"* BYE The selected mailbox was deleted"):
            raise errands.ThrownOutError
        if line.startswith(b"* BYE"):
            raise StormError(f"thrown out: {line!r}")
        if line.startswith(b"* OK [CLOSED]"):
            self.view = None
        if self.view is not None:
            uid_only = b"UIDONLY" in self.enabled
            self.view.take(line, expunge=expunge, vanishes=bool(self.enabled & {b"QRESYNC", b"UIDONLY"}), uid_only=uid_only)

    def _judge(self, command: bytes, answer: bytes) -> None:
        if self.view is not None:
            self.view.take_code(answer)
            self.view.finish()
        word = answer.split(b" ", 2)[1]
        if word == b"BAD" or (word == b"NO" and not any(b"[" + code in answer for code in _FINE)):
            raise StormError(f"{command!r}: {answer!r}")

    @property
    def words(self) -> str:
        """Return what was said last, for the report of a failure."""
        return "\n".join(line.decode("utf-8", "replace") for line in (self.notified, *self._recent))

    # Coming and going

    async def start(self) -> None:
        self._line = Line(self.connect())
        self.view = None
        self.enabled = set()
        self.notified = b"never asked for news"
        await self._read()
        await self.ask(b"LOGIN ana secret")
        for name in self.rnd.choice(((), (b"CONDSTORE",), (b"QRESYNC",), (b"QRESYNC",), (b"UIDONLY",), (b"QRESYNC", b"UIDONLY"))):
            await self.ask(b"ENABLE " + name)
            self.enabled.add(name)
        await self.select(self.rnd.choice(self.boxes))

    async def stop(self) -> None:
        """Go without a word, as clients do; what is known is kept for the next time."""
        assert self._line is not None
        self._keep()
        self.view = None
        await self._line.stream.aclose()

    def _keep(self) -> None:
        if self.view is not None and b"QRESYNC" in self.enabled and 0 not in self.view.uids and set(self.view.uids) == set(self.view.flags):
            self.cache[self.view.name, self.view.uid_validity] = self.view

    async def select(self, box: bytes) -> None:
        """Select a mailbox, with QRESYNC from what is known of it if anything is."""
        self._keep()
        verb = self.rnd.choice((b"SELECT ", b"SELECT ", b"SELECT ", b"EXAMINE "))
        known = next((view for (name, _), view in self.cache.items() if name == box), None)
        if known is None or b"QRESYNC" not in self.enabled or not known.highest:
            if self.view is None:
                self.view = View(box)
                await self.ask(verb + box)
            else:
                await self._reselect(verb + box, View(box))
        else:
            new = View(box, flags=dict(known.flags), modseqs=dict(known.modseqs), cached=list(known.uids))
            arguments = b"%d %d" % (known.uid_validity, known.highest)
            if self.view is None:
                self.view = new
                await self.ask(verb + box + b" (QRESYNC (" + arguments + b"))")
            else:
                await self._reselect(verb + box + b" (QRESYNC (" + arguments + b"))", new)
            await self._compare_cache(known)
        assert self.view is not None
        self.view.read_only = verb == b"EXAMINE "
        await self.learn()

    async def _reselect(self, command: bytes, new: View) -> None:
        """The old view ends with CLOSED, what follows belongs to the new one."""
        self._tag += 1
        tag = b"c%d" % self._tag
        await self._send(tag + b" " + command + b"\r\n")
        is_new = False
        while not (line := await self._read()).startswith(tag + b" "):
            if line.startswith(b"* OK [CLOSED]"):
                self.view, is_new = new, True
                new.begin()
                continue
            self._take(line, expunge=True)
        if not is_new:
            raise StormError("no CLOSED between two mailboxes")
        self._judge(command, line)

    async def _compare_cache(self, known: View) -> None:
        """What QRESYNC left of the cache must be exactly the old messages that are there."""
        view = self.view
        assert view is not None
        if view.uid_validity != known.uid_validity:
            raise StormError(f"uidvalidity of {known.name!r} changed")
        cached = {uid: view.flags[uid] for uid in known.flags if uid in view.flags}
        newest = max(known.flags, default=0)
        lines = await self.ask(b"UID FETCH 1:* (FLAGS)")
        self.counts["resynchronised"] += 1
        # What changed or went only now is told with its modseq, or as VANISHED, and forgotten by the view.
        news = {int(match[1] or match[2]) for line in lines if b"MODSEQ" in line and (match := _NEWS.search(line))}
        there = {uid: view.flags[uid] for uid in view.uids if 0 < uid <= newest}
        if set(there) - set(cached):
            raise StormError(f"QRESYNC: not in the cache {sorted(set(there) - set(cached))}")
        stale = {uid: (cached[uid], flags) for uid, flags in there.items() if uid not in news and cached[uid] != flags}
        if stale:
            raise StormError(f"QRESYNC kept flags back: {stale}")
        left = [uid for uid in cached if uid not in there and uid in view.flags]
        if left:
            raise StormError(f"QRESYNC kept expunges back: {left}")

    async def learn(self) -> None:
        """Ask for the uids and flags that are not known yet."""
        for _ in range(5):
            view = self.view
            if view is None or 0 not in view.uids:
                return
            at = view.uids.index(0)
            await self.ask(b"UID FETCH %d:* (UID FLAGS)" % (view.uids[at - 1] + 1 if at and b"UIDONLY" not in self.enabled else 1))

    async def check(self) -> None:
        """At a pause: nothing changes, so what was told is what is there."""
        view = self.view
        assert view is not None
        await self.ask(b"NOOP")
        await self.learn()
        await self.ask(b"NOOP")
        told_uids, told_flags = list(view.uids), dict(view.flags)
        await self.ask(b"UID FETCH 1:* (UID FLAGS)")
        if told_uids != view.uids:
            raise StormError(f"uids told {told_uids}, there {view.uids}")
        wrong = {uid: (told_flags[uid], view.flags[uid]) for uid in view.uids if uid in told_flags and told_flags[uid] != view.flags[uid]}
        if wrong:
            raise StormError(f"flags told and there: {wrong}")
        found = [line for line in await self.ask(b"UID SEARCH ALL") if line.startswith(b"* SEARCH")]
        if [int(uid) for uid in found[0].split()[2:]] != view.uids:
            raise StormError(f"UID SEARCH ALL: {found[0]!r}, told {view.uids}")
        self.counts["checked"] += 1

    # Random commands

    def _numbers(self, *, uid: bool) -> bytes:
        view, rnd = self.view, self.rnd
        assert view is not None
        pool = [known for known in view.uids if known] if uid else list(range(1, len(view.uids) + 1))
        if not pool:
            return b""
        low, high = sorted((rnd.choice(pool), rnd.choice(pool)))
        return rnd.choice((b"%d" % low, b"%d:%d" % (low, high), b"%d,%d" % (high, low), b"1:*" if uid or pool else b""))

    async def act(self) -> None:
        """Do one thing."""
        view, rnd = self.view, self.rnd
        assert view is not None
        uid = rnd.random() < 0.5 or b"UIDONLY" in self.enabled
        numbers = self._numbers(uid=uid)
        act = rnd.choices(
            (
                self._noop,
                self._fetch,
                self._store,
                self._search,
                self._copy,
                self._append,
                self._expunge,
                self._idle,
                self._switch,
                self._leave,
                self._replace,
                self._run_errand,
            ),
            (6, 14, 22, 8, 6, 8, 7, 4, 3, 2, 3, 9),
        )[0]
        if not numbers and act in {self._fetch, self._store, self._copy}:
            act = self._append
        await act(b"UID " if uid else b"", numbers)
        await self.learn()

    async def _noop(self, _prefix: bytes, _numbers: bytes) -> None:
        await self.ask(self.rnd.choice((b"NOOP", b"CHECK", b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN)", b'LIST "" *')))

    async def _fetch(self, prefix: bytes, numbers: bytes) -> None:
        items = self.rnd.choice(
            (b"(FLAGS)", b"(UID FLAGS)", b"(UID RFC822.SIZE)", b"(UID ENVELOPE)", b"BODY.PEEK[]", b"BODY[TEXT]", b"(UID MODSEQ)")
        )
        if b"MODSEQ" in items:
            self.enabled.add(b"CONDSTORE")
        await self.ask(prefix + b"FETCH " + numbers + b" " + items, expunge=bool(prefix))

    async def _store(self, prefix: bytes, numbers: bytes) -> None:
        view, rnd = self.view, self.rnd
        assert view is not None
        if view.read_only:
            return
        flags = frozenset(rnd.sample(_FLAGS, rnd.randint(1, 2)))
        action = rnd.choice((b"+FLAGS", b"+FLAGS", b"-FLAGS", b"FLAGS"))
        since = b""
        if rnd.random() < 0.2:
            since = b"(UNCHANGEDSINCE %d) " % max(1, view.highest - rnd.choice((0, 0, 1_000)))
            self.enabled.add(b"CONDSTORE")
        # What NOTIFY tells may be on its way when the command is said; a client could not know which of the two is later.
        silent = rnd.random() < 0.5 and not self.notified.startswith(b"NOTIFY SET")
        if silent:
            self._expect(prefix, numbers, action, frozenset(flag.lower() for flag in flags))
        command = (
            prefix + b"STORE " + numbers + b" " + since + action + (b".SILENT" if silent else b"") + b" (" + b" ".join(sorted(flags)) + b")"
        )
        lines = await self.ask(command, expunge=bool(prefix))
        if silent and b" OK " not in lines[-1][:20]:
            await self.ask(prefix + b"FETCH " + numbers + b" (UID FLAGS)", expunge=bool(prefix))

    def _expect(self, prefix: bytes, numbers: bytes, action: bytes, flags: frozenset[bytes]) -> None:
        """After .SILENT the client knows the flags without being told."""
        view = self.view
        assert view is not None
        largest = max(view.uids) if prefix else len(view.uids)
        wanted: set[int] = set()
        for part in numbers.replace(b"*", b"%d" % largest).split(b","):
            low, _, high = part.partition(b":")
            wanted.update(range(min(int(low), int(high or low)), max(int(low), int(high or low)) + 1))
        for at, uid in enumerate(view.uids):
            if (uid if prefix else at + 1) in wanted and (uid in view.flags or action == b"FLAGS"):  # what was never told is not known now
                old = view.flags.get(uid, frozenset())
                view.flags[uid] = old | flags if action == b"+FLAGS" else old - flags if action == b"-FLAGS" else flags

    async def _search(self, prefix: bytes, numbers: bytes) -> None:
        key = self.rnd.choice(
            (b"ALL", b"DELETED", b"UNSEEN", b"KEYWORD $Work", b"SUBJECT storm", b"BODY 7", b"LARGER 10", b"OR SEEN UID 1:9")
        )
        with_numbers = bool(numbers) and b"UIDONLY" not in self.enabled and self.rnd.random() < 0.2
        if with_numbers:
            key += b" 1:*"
        lines = await self.ask(prefix + b"SEARCH " + key, expunge=bool(prefix) and not with_numbers)
        if self.view is not None and not prefix:
            for line in lines:
                self.view.check_search(line, uid=bool(prefix))

    async def _copy(self, prefix: bytes, numbers: bytes) -> None:
        assert self.view is not None
        verb = b"COPY " if self.view.read_only or self.rnd.random() < 0.5 or len(self.view.uids) < 5 else b"MOVE "
        if verb == b"COPY " and len(self.view.uids) > 60:
            return
        await self.ask(prefix + verb + numbers + b" " + self.rnd.choice(self.boxes))

    async def _append(self, _prefix: bytes, _numbers: bytes) -> None:
        rnd = self.rnd
        body = b"Subject: storm %d\r\nFrom: a@example.org\r\n\r\nbody %d %b\r\n" % (
            self._tag,
            rnd.randrange(1_000),
            b"x" * rnd.choice((5, 500)),
        )
        flags = rnd.choice((b"", b"(\\Seen) ", b"($Work \\Flagged) "))
        await self.ask(b"APPEND %b %b{%d+}" % (rnd.choice(self.boxes), flags, len(body)), literal=body)

    async def _expunge(self, prefix: bytes, numbers: bytes) -> None:
        assert self.view is not None
        if not self.view.read_only:
            await self.ask(b"UID EXPUNGE " + numbers if prefix and numbers else b"EXPUNGE")

    async def _idle(self, _prefix: bytes, _numbers: bytes) -> None:
        """Listen for a while."""
        self._tag += 1
        tag = b"c%d" % self._tag
        assert self.view is not None
        self.view.begin()
        await self._send(tag + b" IDLE\r\n")
        await self._idle_until(lambda line: line.startswith(b"+ "), tag)
        with trio.move_on_after(self.rnd.choice((0.001, 0.02, 0.1))):
            await trio.sleep(1)
        await self._send(b"DONE\r\n")
        self._judge(b"IDLE", await self._idle_until(lambda line: line.startswith(tag + b" "), tag))
        self.counts["IDLE"] += 1

    async def _idle_until(self, is_last: Callable[[bytes], bool], _tag: bytes) -> bytes:
        while not is_last(line := await self._read()):
            self._take(line, expunge=True)
        return line

    async def _switch(self, _prefix: bytes, _numbers: bytes) -> None:
        choice = self.rnd.random()
        if choice < 0.6:
            await self.select(self.rnd.choice(self.boxes))
            return
        self.leave_mailbox()
        verb = b"CLOSE" if choice < 0.8 else b"UNSELECT"
        await self.ask(verb)
        await self.select(self.rnd.choice(self.boxes))

    def leave_mailbox(self) -> None:
        """Keep what is known of the mailbox, and heed nothing more of it."""
        self._keep()
        self.view = None

    async def _replace(self, prefix: bytes, _numbers: bytes) -> None:
        await errands.replace(self, prefix)

    async def _run_errand(self, _prefix: bytes, _numbers: bytes) -> None:
        await self.rnd.choice((errands.move_house, errands.move_house, errands.look_in, errands.note, errands.notify))(self)

    async def _leave(self, _prefix: bytes, _numbers: bytes) -> None:
        await self.stop()
        await self.start()
