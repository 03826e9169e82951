"""How tests wait for other programs: their progress is announced by nothing."""

import time
from collections.abc import Callable

__all__ = ["PATIENCE_S", "wait_until"]

PATIENCE_S = 30.0


def wait_until(condition: Callable[[], object], what: str | Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Look again and again, and fail when it was in vain."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what if isinstance(what, str) else what()}"
        time.sleep(0.05)
