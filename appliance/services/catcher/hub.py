"""What happened to caught messages, told to everybody who listens.

Owns the bounded queues of the listeners: one that does not keep up loses events
and is told so by the next one (``prune``: look again).

Fails: never towards who tells.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import trio

__all__ = ["Event", "EventHub", "Kind", "Listening", "event_bytes"]

Kind = Literal["new", "update", "delete", "prune", "truncate", "stats"]
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Event:
    """``data``: a summary for ``new``; what changed for ``update`` and ``delete``; nothing for the rest."""

    kind: Kind
    data: Any = None


@dataclass(slots=True, eq=False)
class _Listener:
    send: "trio.MemorySendChannel[Event]"
    has_lost: bool = field(default=False)


class EventHub:
    """Tells events to listeners. In memory."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    @property
    def is_heard(self) -> bool:
        return bool(self._listeners)

    def tell(self, kind: Kind, data: Any = None) -> None:
        """Tell everybody. Never waits."""
        event = Event(kind, data)
        for listener in tuple(self._listeners):
            try:
                if listener.has_lost:
                    listener.send.send_nowait(Event("prune"))
                    listener.has_lost = False
                listener.send.send_nowait(event)
            except trio.WouldBlock:
                listener.has_lost = True

    @contextmanager
    def listen(self) -> "Iterator[trio.MemoryReceiveChannel[Event]]":
        """Give the events from now on, until the block ends."""
        listening = self.open()
        try:
            yield listening.events
        finally:
            listening.close()

    def open(self) -> "Listening":
        """Return the events from now on; the caller closes it. For generators, which must not yield inside of a block."""
        send, receive = trio.open_memory_channel[Event](MAX_WAITING)
        listener = _Listener(send)
        self._listeners.add(listener)

        def close() -> None:
            self._listeners.discard(listener)
            send.close()
            receive.close()

        return Listening(receive, close)


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener's events."""

    events: "trio.MemoryReceiveChannel[Event]"
    close: Callable[[], None]


async def event_bytes(hub: EventHub, keep_alive_s: float, made: Callable[[Event], Awaitable[bytes]]) -> AsyncGenerator[bytes, None]:
    """Yield the events from now on as an event stream's bytes, with comments when nothing happens. ``made``: an event's bytes, none to leave it out.

    Source: WHATWG HTML section 9.2 (a comment every now and then keeps proxies from closing).
    """
    listening = hub.open()
    try:
        yield b": hello\n\n"
        while True:
            with trio.move_on_after(keep_alive_s) as scope:
                event = await listening.events.receive()
            if scope.cancelled_caught:
                yield b": keep-alive\n\n"
            elif told := await made(event):
                yield told
    finally:
        listening.close()
