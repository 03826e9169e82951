"""Conversations: which message answers which, by the algorithms of THREAD.

Owns ORDEREDSUBJECT, REFERENCES and REFS and the way their result is written. A
mailbox is threaded in small steps: each function here is a generator that gives
the turn back every ``STEP`` units of work and returns at its end. Nothing
recurses, whatever the depth; time is linear in messages and references but for
the search for loops, where the smaller of two trees is walked.

Fails: never; loops of references are not linked.
Does not: read messages or know sequence numbers from uids.

Sources: RFC 5256 section 3 (THREAD) and section 4 (thread-list); REFS as
draft-ietf-morg-inthread and Dovecot have it: REFERENCES without merging by
subject, threads by their latest arrival.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple

__all__ = ["STEP", "Steps", "ThreadMessage", "format_threads", "ordered_subject", "references", "refs"]

STEP = 2_000
_EARLIEST = 1 << 40
_BITS = 32

Steps = Generator[None, None, bytes]


class ThreadMessage(NamedTuple):
    """``number`` is what is told; messages come in the order of the mailbox. ``subject``: key of the base subject.

    ``message_id`` and ``parents`` (nearest last) are whatever compares equal for equal identifiers; 0 is none.
    """

    number: int
    sent_s: int
    arrived_s: int
    subject: bytes = b""
    is_reply: bool = False
    message_id: int = 0
    parents: Sequence[int] = ()


def _rank(seconds: int, position: int) -> int:
    """Return a key that sorts by time, then by place in the mailbox."""
    return (seconds + _EARLIEST) << _BITS | position


def ordered_subject(messages: Sequence[ThreadMessage]) -> Steps:
    """Thread by base subject and sent date: RFC 5256 section 3, ORDEREDSUBJECT."""
    groups: dict[bytes, list[int]] = {}
    for at, message in enumerate(messages):
        groups.setdefault(message.subject, []).append(_rank(message.sent_s, at))
        if at % STEP == 0:
            yield
    for done, group in enumerate(groups.values()):
        group.sort()
        if done % STEP == 0:
            yield
    order = sorted(groups.values())
    yield
    forest = _Forest(messages)
    mask = (1 << _BITS) - 1
    for done, group in enumerate(order):
        head, *rest = [rank & mask for rank in group]
        forest.roots.append(head)
        if rest:
            forest.children[head] = rest
        if done % STEP == 0:
            yield
    return (yield from format_threads(forest))


def references(messages: Sequence[ThreadMessage]) -> Steps:
    """Thread by References, then merge by base subject: RFC 5256 section 3, REFERENCES."""
    forest = _Forest(messages)
    yield from forest.link()
    yield from forest.prune()
    yield from forest.merge_subjects()
    yield from forest.sort()
    return (yield from format_threads(forest))


def refs(messages: Sequence[ThreadMessage]) -> Steps:
    """Thread by References alone; the thread with the latest arrival comes last."""
    forest = _Forest(messages)
    yield from forest.link()
    yield from forest.prune()
    yield from forest.sort()
    yield from forest.sort_by_arrival()
    return (yield from format_threads(forest))


class _Forest:
    """Trees of nodes. Node ``n`` is message ``n``; from ``len(messages)`` on they are dummies."""

    def __init__(self, messages: Sequence[ThreadMessage]) -> None:
        self.messages = messages
        self.count = len(messages)
        self.parents = [-1] * self.count
        self.children: dict[int, list[int]] = {}
        self.roots: list[int] = []

    def is_dummy(self, node: int) -> bool:
        return node >= self.count

    # Steps 1 and 2

    def link(self) -> Generator[None, None, None]:
        """Make every message the child of the one that it answers."""
        nodes: dict[int, int] = {}
        for at, message in enumerate(self.messages):
            if message.message_id:
                nodes.setdefault(message.message_id, at)
            if at % STEP == 0:
                yield
        # Children are kept as sets while links come and go; the order is the sorts' matter.
        kin: list[set[int] | None] = [None] * self.count
        work = 0
        for at, message in enumerate(self.messages):
            work += self._link_one(nodes, kin, at, message.parents)
            if work >= STEP:
                work = 0
                yield
        for node, some in enumerate(kin):
            if some:
                self.children[node] = sorted(some)
            if node % STEP == 0:
                yield
        self.roots = [node for node, parent in enumerate(self.parents) if parent < 0]

    def _link_one(self, nodes: dict[int, int], kin: "list[set[int] | None]", at: int, parents: Sequence[int]) -> int:
        """Link a message's references with each other, and the last with the message; return what it took."""
        work = 1 + len(parents)
        above = -1
        for parent_id in parents:
            node = nodes.get(parent_id)
            if node is None:
                node = nodes[parent_id] = len(self.parents)
                self.parents.append(-1)
                kin.append(None)
            if above >= 0 and self.parents[node] < 0:
                work += self._adopt(kin, above, node)
            above = node
        self._release(kin, at)
        if above >= 0:
            work += self._adopt(kin, above, at)
        return work

    def _release(self, kin: "list[set[int] | None]", node: int) -> None:
        parent = self.parents[node]
        if parent >= 0:
            family = kin[parent]
            assert family is not None
            family.discard(node)
            self.parents[node] = -1

    def _adopt(self, kin: "list[set[int] | None]", parent: int, node: int) -> int:
        """Make a root the child of ``parent`` unless that lies below it; return what the search took.

        Upwards from the one and downwards from the other, whichever ends first.
        """
        if parent == node:
            return 1
        below = [node]
        up = parent
        steps = 0
        while below:
            steps += 1
            some = kin[below.pop()]
            if some:
                below.extend(some)
            up = self.parents[up]
            if up == node:
                return steps
            if up < 0:
                break
            if parent in (some or ()):
                return steps
        family = kin[parent]
        if family is None:
            family = kin[parent] = set()
        family.add(node)
        self.parents[node] = parent
        return steps + 1

    # Step 3

    def prune(self) -> Generator[None, None, None]:
        """Take dummies out and put their children in their place; at the top only where there is one child."""
        order: list[int] = []
        waiting = list(self.roots)
        while waiting:
            node = waiting.pop()
            order.append(node)
            waiting.extend(self.children.get(node, ()))
            if len(order) % STEP == 0:
                yield
        for done, node in enumerate(reversed(order)):
            family = self.children.get(node)
            if family and any(map(self.is_dummy, family)):
                self.children[node] = [heir for child in family for heir in self._heirs(child)]
            if done % STEP == 0:
                yield
        roots: list[int] = []
        for node in self.roots:
            heirs = self._heirs(node)
            roots += [node] if len(heirs) > 1 else heirs
        self.roots = roots
        yield

    def _heirs(self, node: int) -> Sequence[int]:
        """Return what stands for a node whose children hold no dummies any more."""
        return self.children.get(node, ()) if self.is_dummy(node) else (node,)

    # Steps 4 and 5

    def _key(self, node: int) -> int:
        """Return the sort key; a dummy's is that of its first child, whose siblings must be sorted."""
        if self.is_dummy(node):
            node = self.children[node][0]
        return _rank(self.messages[node].sent_s, node)

    def _subject(self, node: int) -> bytes:
        return self.messages[self.children[node][0] if self.is_dummy(node) else node].subject

    def _sort_roots(self) -> Generator[None, None, None]:
        for done, node in enumerate(self.roots):
            if self.is_dummy(node):
                self.children[node].sort(key=self._key)
            if done % STEP == 0:
                yield
        self.roots = yield from _sorted(self.roots, self._key)

    def merge_subjects(self) -> Generator[None, None, None]:
        """Bring threads together whose base subjects are equal."""
        yield from self._sort_roots()
        table: dict[bytes, int] = {}
        for done, node in enumerate(self.roots):
            subject = self._subject(node)
            there = table.get(subject) if subject else None
            if subject and (there is None or self._is_better(node, there)):
                table[subject] = node
            if done % STEP == 0:
                yield
        roots: dict[int, None] = dict.fromkeys(self.roots)
        for done, node in enumerate(self.roots):
            subject = self._subject(node)
            if subject and table[subject] != node:
                self._merge(node, table, subject, roots)
            if done % STEP == 0:
                yield
        self.roots = list(roots)

    def _is_better(self, node: int, there: int) -> bool:
        """Step 5.B.iv: the dummy first, then what is no reply."""
        if self.is_dummy(there):
            return False
        return self.is_dummy(node) or (self.messages[there].is_reply and not self.messages[node].is_reply)

    def _merge(self, node: int, table: dict[bytes, int], subject: bytes, roots: dict[int, None]) -> None:
        """Step 5.C."""
        there = table[subject]
        del roots[node]
        if self.is_dummy(there):
            self.children[there] += self.children[node] if self.is_dummy(node) else [node]
        elif self.messages[node].is_reply and not self.messages[there].is_reply:
            self.children.setdefault(there, []).append(node)
        else:
            dummy = len(self.parents)
            self.parents.append(-1)
            self.children[dummy] = [there, node]
            del roots[there]
            roots[dummy] = None
            table[subject] = dummy

    # Step 6

    def sort(self) -> Generator[None, None, None]:
        """Sort all siblings by sent date."""
        for done, family in enumerate(self.children.values()):
            if len(family) > STEP:
                family[:] = yield from _sorted(family, self._key)
            elif len(family) > 1:
                family.sort(key=self._key)
            if done % STEP == 0:
                yield
        self.roots = yield from _sorted(self.roots, self._key)

    def sort_by_arrival(self) -> Generator[None, None, None]:
        """Sort the threads by the latest arrival in each."""
        latest: dict[int, int] = {}
        work = 0
        for root in self.roots:
            waiting = [root]
            best = -1
            while waiting:
                node = waiting.pop()
                waiting.extend(self.children.get(node, ()))
                if not self.is_dummy(node):
                    best = max(best, _rank(self.messages[node].arrived_s, node))
                work += 1
                if work % STEP == 0:
                    yield
            latest[root] = best
        self.roots = yield from _sorted(self.roots, latest.__getitem__)


def _sorted(nodes: Sequence[int], key: Callable[[int], int]) -> Generator[None, None, list[int]]:
    """Return nodes in the order of their keys, which are all different; the sort itself compares integers and nothing else."""
    ranked: dict[int, int] = {}
    for done, node in enumerate(nodes):
        ranked[key(node)] = node
        if done % STEP == 0:
            yield
    order = sorted(ranked)
    yield
    return [ranked[rank] for rank in order]


def format_threads(forest: _Forest) -> Steps:
    """Return the thread-lists: ``(2)(3 6 (4 23)(44 7 96))``."""
    pieces: list[bytes] = []
    waiting: list[int] = list(reversed(forest.roots))  # -1 closes a list
    for done in _count(waiting):
        node = waiting.pop()
        if node < 0:
            pieces.append(b")")
        else:
            pieces.append(b"(")
            waiting.append(-1)
            node = yield from _write_line(forest, node, pieces)
            waiting.extend(reversed(forest.children.get(node, ())))
        if done % STEP == 0:
            yield
    return b"".join(pieces)


def _count(waiting: list[int]) -> Iterable[int]:
    done = 0
    while waiting:
        done += 1
        yield done


def _write_line(forest: _Forest, node: int, pieces: list[bytes]) -> Generator[None, None, int]:
    """Write a message and what follows it one by one; return the node whose children branch, or the last."""
    if forest.is_dummy(node):
        return node
    line = [forest.messages[node].number]
    family: Sequence[int]
    while len(family := forest.children.get(node, ())) == 1:
        node = family[0]
        line.append(forest.messages[node].number)
        if len(line) % STEP == 0:
            yield
    pieces.append(b" ".join([b"%d" % number for number in line]))
    if family:
        pieces.append(b" ")
    return node
