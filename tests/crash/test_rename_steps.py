"""RENAME of a mailbox, of a tree and of INBOX, stopped or failing at every single system call that changes the disk.

Each mailbox is there under exactly one of its two names, with its messages, uids, UIDVALIDITY, id and special
use; what was not reached is renamed by the same command, given again.
"""

import errno
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from appliance.model.errors import NotFoundError, UnavailableError
from appliance.model.ids import INBOX, MailboxName, Uid
from appliance.model.mailbox import Flag, FlagAction, SpecialUse
from appliance.storage.stores import FileMailStores
from tests.crash.test_mailstore_steps import ANA, OLD, Crash, FaultyOps, body_of, contents, message, prepare, reopen

TREE = [MailboxName(name) for name in ("Work", "Work/Deep", "Work/Deep/est", "Worker")]
"""The last one only begins alike."""
MOVES = {
    "leaf": ("Work/Deep/est", "Work/Deep/Nest"),
    "tree": ("Work", "Old/Work"),
    "into_itself_and_out": ("Work/Deep", "Deep"),
}
Fact = tuple[int, dict[int, bytes], list[int], object, dict[str, bytes]]


def plant(stores: FileMailStores) -> None:
    """Make the tree, each mailbox with two messages, one of them flagged."""
    store = stores.account(ANA)
    for name in TREE:
        store.create_mailbox(name, [SpecialUse.ARCHIVE] if name == "Work/Deep" else [])
        store.append(name, [message(f"{name} 1"), message(f"{name} 2")])
        store.open_mailbox(name).store_flags([Uid(2)], FlagAction.ADD, Flag.FLAGGED, ())
        store.annotate(name, {"/private/comment": name.encode()}, 10)


def facts(stores: FileMailStores) -> dict[str, Fact]:
    """Return what each mailbox is, by name."""
    store = stores.account(ANA)
    found: dict[str, Fact] = {}
    for info in store.list_mailboxes():
        if info.selectable and info.name not in (INBOX, "Sent"):
            mailbox = store.open_mailbox(info.name)
            view = mailbox.snapshot()
            notes = dict(store.annotations(info.name))
            found[str(info.name)] = (int(view.uid_validity), contents(mailbox), list(view.flags), mailbox.mailbox_id, notes)
    return found


def expected_names(old: str, new: str) -> Mapping[str, str]:
    return {str(name): new + name[len(old) :] if name == old or name.startswith(old + "/") else str(name) for name in TREE}


def check(before: dict[str, Fact], after: dict[str, Fact], names: Mapping[str, str]) -> None:
    """Assert that each mailbox has one of its names, and everything else unchanged; what is new is empty."""
    left = dict(after)
    for old, new in names.items():
        held = [left.pop(name) for name in {old, new} if name in left]
        assert [before[old]] == held, old
    assert {"Old"} >= set(left)
    assert all(fact[1] == {} for fact in left.values())


def rename(stores: FileMailStores, old: str, new: str) -> None:
    stores.account(ANA).rename_mailbox(MailboxName(old), MailboxName(new))


def finish(stores: FileMailStores, old: str, new: str) -> None:
    """Give the command again; nothing may be left to rename."""
    try:
        rename(stores, old, new)
    except NotFoundError:
        assert old not in facts(stores)


@pytest.fixture(params=["maildir", "mbox"])
def mail_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("move", list(MOVES))
def test_crash_at_every_step(tmp_path: Path, move: str, mail_format: str) -> None:
    """Killed at any step, a new process finds each mailbox once and whole, with its index or without."""
    old, new = MOVES[move]
    names = expected_names(old, new)
    step = 0
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, mail_format, ops)
        plant(stores)
        before = facts(stores)
        ops.arm(step, None)
        try:
            rename(stores, old, new)
        except Crash:
            pass
        else:
            ops.arm(-1, None)
            break
        again = reopen(directory, mail_format, without_index=step % 2 == 1)
        check(before, facts(again), names)
        finish(again, old, new)
        assert set(names.values()) <= set(facts(again))
        check(before, facts(again), names)
        again.close()
        step += 1
    assert step > 1
    assert set(names.values()) <= set(facts(stores))
    check(before, facts(stores), names)
    stores.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("move", list(MOVES))
def test_fault_at_every_step(tmp_path: Path, move: str, mail_format: str, error: int) -> None:
    """A step that fails is an error of its kind; the same process and a new one see each mailbox once and whole."""
    old, new = MOVES[move]
    names = expected_names(old, new)
    step = failed = 0
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, mail_format, ops)
        plant(stores)
        before = facts(stores)
        ops.arm(step, error)
        try:
            rename(stores, old, new)
        except UnavailableError:
            failed += 1
        done = ops.count <= step
        ops.arm(-1, None)
        if done:
            break
        check(before, facts(stores), names)
        again = reopen(directory, mail_format, without_index=step % 2 == 1)
        check(before, facts(again), names)
        again.close()
        finish(stores, old, new)
        check(before, facts(stores), names)
        stores.close()
        step += 1
    assert failed > 1


def test_inbox_at_every_step(tmp_path: Path, mail_format: str) -> None:
    """INBOX stays and its messages go: at any step each of them is in one of the two, or in both."""
    step = 0
    target = MailboxName("Kept")
    while True:
        ops = FaultyOps()
        directory = tmp_path / str(step)
        stores = prepare(directory, mail_format, ops)
        ops.arm(step, None)
        try:
            rename(stores, INBOX, target)
        except Crash:
            pass
        else:
            ops.arm(-1, None)
            break
        again = reopen(directory, mail_format, without_index=step % 2 == 1)
        store = again.account(ANA)
        inbox = contents(store.open_mailbox(INBOX))
        kept = contents(store.open_mailbox(target)) if store.exists(target) else {}
        assert {*map(body_of, OLD)} == {*inbox.values(), *kept.values()}
        assert all(inbox[uid] == body_of(OLD[uid - 1]) for uid in inbox)
        again.close()
        step += 1
    assert step > 2
    store = stores.account(ANA)
    assert [*map(body_of, OLD)] == [*contents(store.open_mailbox(target)).values()]
    assert {} == contents(store.open_mailbox(INBOX))
    stores.close()


Check = Callable[[Path], None]


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(100, len(data), 997):
        data[at] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_remove, _truncate, _flip], ids=["deleted", "truncated", "flipped"])
def test_index_that_was_harmed(tmp_path: Path, mail_format: str, harm: Check) -> None:
    """Uids, UIDVALIDITY, flags, ids and messages are those of before; each file of the index in turn, then all of them."""
    stores = prepare(tmp_path, mail_format, FaultyOps())
    plant(stores)
    rename(stores, "Work", "Old/Work")
    names = set(expected_names("Work", "Old/Work").values())
    before = {name: fact for name, fact in facts(stores).items() if name in names}  # Old is empty: its numbers name nothing yet
    stores.close()
    paths = sorted(path for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert paths
    for chosen in [*([path] for path in paths), paths]:
        for path in chosen:
            if path.exists() and path.stat().st_size:
                harm(path)
        again = reopen(tmp_path, mail_format, without_index=False)
        assert before == {name: fact for name, fact in facts(again).items() if name in names}
        again.close()
