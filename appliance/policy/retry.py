"""When a deferred recipient is tried again.

First soon (a greylisting server wants five minutes), then later, then doubling up to a
ceiling; a little jitter keeps a thousand messages for one dead server from
returning in the same second.

Sources: RFC 5321 section 4.5.4.1 (at least 30 minutes on average, 4 to 5 days),
Postfix minimal_backoff_time and maximal_backoff_time.
"""

from typing import Protocol

__all__ = ["RetrySettings", "next_attempt_s"]

_JITTER = 0.1


class RetrySettings(Protocol):
    """What is needed of the settings; ``QueueConfig`` fits."""

    @property
    def first_retry_s(self) -> int: ...

    @property
    def second_retry_s(self) -> int: ...

    @property
    def max_retry_s(self) -> int: ...


def next_attempt_s(attempts: int, config: RetrySettings, jitter: float) -> float:
    """Return the seconds to wait after the attempt number ``attempts`` (from 1) has failed for now.

    Units:    ``jitter`` in [0, 1) moves the wait from 10 % shorter to 10 % longer.
    """
    # After 30 doublings the ceiling rules for sure; the bound keeps the number small.
    wait = config.first_retry_s if attempts <= 1 else config.second_retry_s << min(attempts - 2, 30)
    return min(wait, config.max_retry_s) * (1 - _JITTER + 2 * _JITTER * jitter)
