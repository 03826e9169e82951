"""The real clock behind ``model.ports.Clock``; tests use ``model.clock.ManualClock``.

Owns: which system clock answers which question. Wall time stamps messages,
monotonic time is trio's, so that an autojump clock moves both timers and
everything that computes deadlines from it.
"""

import time

import trio

__all__ = ["SystemClock"]


class SystemClock:
    """Wall time of the machine, monotonic time of the running trio loop."""

    __slots__ = ()

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return trio.current_time()
