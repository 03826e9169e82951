"""What is done beside the event loop's work, for many of its turns at once.

Owns the hook into trio's turns, and the pace of what need not be done at each
of them: a turn takes some twenty microseconds, a hook that does nothing one of them.

Fails: trio takes a hook that raises out, and logs that.
Sources: trio.abc.Instrument, trio.lowlevel.spawn_system_task.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from appliance.net.processor import OneProcessor

__all__ = ["before_each_wait", "kept_together", "paced"]

_LOOK_S: Final = 0.1


class _BeforeWait(trio.abc.Instrument):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def before_io_wait(self, timeout: float) -> None:
        self._call()


@contextmanager
def before_each_wait(call: Callable[[], None]) -> Iterator[None]:
    """Have ``call`` called before each wait of the running loop, until the block ends."""
    hook = _BeforeWait(call)
    trio.lowlevel.add_instrument(hook)
    try:
        yield
    finally:
        with suppress(KeyError):  # it raised, and trio took it out
            trio.lowlevel.remove_instrument(hook)


def paced(call: Callable[[], None], pause_s: float) -> Callable[[], None]:
    """Return what asks for ``call``: made within the same turn when the last was ``pause_s`` ago, else that long after it.

    One call answers all who asked since the last. To be asked in the loop's thread, as long as the loop runs.
    """
    asked = trio.Event()

    async def run() -> None:
        nonlocal asked
        while True:
            await asked.wait()
            asked = trio.Event()
            call()
            await trio.sleep(pause_s)

    def ask() -> None:
        asked.set()

    trio.lowlevel.spawn_system_task(run)
    return ask


def kept_together(processor: OneProcessor) -> None:
    """Have ``processor`` look as long as the loop runs: while it is not gathered, at turns of the loop, which an idle process does not make."""

    async def run() -> None:
        while True:
            gathered = trio.Event()

            def look(gathered: trio.Event = gathered) -> None:
                processor.look()
                if processor.is_gathered:
                    gathered.set()

            with before_each_wait(look):
                await gathered.wait()
            while processor.is_gathered:
                await trio.sleep(_LOOK_S)
                processor.look()

    trio.lowlevel.spawn_system_task(run)
