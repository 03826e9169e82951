"""A queue in which senders take turns: five thousand messages of one do not delay the single message of another.

Fails: never. Pure, in memory; taking and putting cost the same however much waits.

Sources: Nagle, RFC 970 (fair queueing); Postfix SCHEDULER_README (which takes turns over recipients' jobs instead).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """What waits, in order of arrival for each sender, a turn for each sender after the other."""

    __slots__ = ("_counts", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        self._counts: dict[str, int] = {}

    def append(self, sender: str, item: T, weight: int = 1) -> None:
        """Put something at the end of its sender's line."""
        self._waiting.setdefault(sender, deque()).append((item, weight))
        self._counts[sender] = self._counts.get(sender, 0) + weight

    def popleft(self) -> T:
        """Return what has waited longest of the sender whose turn it is; he is the last in the round then. Raises KeyError when empty."""
        sender, line = self._waiting.popitem(last=False)
        item, weight = line.popleft()
        if line:
            self._waiting[sender] = line
            self._counts[sender] -= weight
        else:
            del self._counts[sender]
        return item

    def waiting(self, sender: str) -> int:
        """Return the weight of what waits of one sender."""
        return self._counts.get(sender, 0)

    def clear(self) -> None:
        self._waiting.clear()
        self._counts.clear()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[T]:
        for line in self._waiting.values():
            for item, _weight in line:
                yield item
