"""What must be done each time before the event loop goes to sleep.

Owns the hook into trio. A thing done there is done once for everything that
happened since the loop woke up: log lines go out with one ``write``.

Fails: trio takes a hook that raises out, and logs that.
Sources: trio.abc.Instrument.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trio

__all__ = ["before_each_wait"]


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
