"""The pytest plugin: a fixture ``mailbox``, a mail catcher for one test.

It takes mail on ``mailbox.host`` and ``mailbox.port`` and ends with the test. It runs
in a thread, so that plain tests and those of any event loop can use it; a trio test
that needs its own clock opens one in its own loop with ``open_mailbox``.

Sources: pytest's documentation of entry points (``pytest11``).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from appliance.app.inprocess import MailboxThread

__all__ = ["mailbox"]


@pytest.fixture
def mailbox() -> "Iterator[MailboxThread]":
    """Give a mail catcher on a port of its own."""
    from appliance.app.inprocess import MailboxThread  # costs a test run without mail nothing

    running = MailboxThread().start()
    try:
        yield running
    finally:
        running.stop()
