"""Short storms with a fixed seed; long ones are ``python -m tests.storm``."""

from pathlib import Path
from typing import Literal

import pytest
import trio.testing

from tests.storm.model import StormError, View
from tests.storm.run import Plan, storm


@pytest.mark.slow
@pytest.mark.parametrize("mail_format", ["maildir", "mbox"])
async def test_a_short_storm(tmp_path: Path, mail_format: Literal["maildir", "mbox"], autojump_clock: trio.testing.MockClock) -> None:
    """Eight clients and other programs on the same mail: nobody is told anything wrong, nothing is left behind."""
    counts = await storm(tmp_path, Plan(mail_format, seed=7, sessions=8, rounds=2, commands=15))
    assert 16 == counts["checked"]


@pytest.mark.parametrize(
    ("line", "expunge", "vanishes"),
    [
        (b"* 3 EXISTS", True, False),
        (b"* 5 EXPUNGE", True, False),
        (b"* 1 EXPUNGE", False, False),
        (b"* 1 EXPUNGE", True, True),
        (b"* VANISHED 9", True, True),
        (b"* VANISHED 1", False, True),
        (b"* VANISHED (EARLIER) 2:3", True, True),
        (b"* 1 FETCH (UID 2 FLAGS ())", True, False),
        (b"* 5 FETCH (FLAGS ())", True, False),
        (b"* 1 FETCH (UID 1 MODSEQ (4))", True, False),
        (b"* 1 UIDFETCH (FLAGS ())", True, False),
        (b"* OK [HIGHESTMODSEQ 6] x", True, False),
    ],
)
def test_the_checker_sees_what_is_wrong(line: bytes, expunge: bool, vanishes: bool) -> None:
    """Each kind of lie is noticed, so that a storm that passes says something."""
    view = View(b"INBOX")
    for fine in (
        b"* 4 EXISTS",
        *(b"* %d FETCH (UID %d FLAGS () MODSEQ (5))" % (uid, uid) for uid in range(1, 5)),
        b"* OK [HIGHESTMODSEQ 7] x",
    ):
        view.take(fine, expunge=False, vanishes=False, uid_only=False)
    with pytest.raises(StormError):
        view.take(line, expunge=expunge, vanishes=vanishes, uid_only=False)
