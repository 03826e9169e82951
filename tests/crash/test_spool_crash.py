"""The spool is cut off at every step it takes, by a killed process and by a lost power supply.

Each step of a scenario (system calls on content files through ``FileOps``,
writes and flushes of SQLite through its file layer) takes two pictures of the
directory: what a killed process leaves (everything written) and what a power
failure leaves at worst (only what was flushed, only names whose directory was). A
spool is then opened on every picture, and must hold what was acknowledged.
"""

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from appliance.model.envelope import Envelope, EnvelopeRecipient
from appliance.model.errors import ApplianceError, OutOfSpaceError, UnavailableError
from appliance.model.ids import QueueId
from appliance.storage.spool import Spool
from appliance.storage.spool_content import FileOps
from appliance.storage.spool_ids import queue_id_from_int
from appliance.storage.spool_schema import Addition, Batch, MessageState, RecipientUpdate, Removal, StateChange

ENVELOPE = Envelope("ana@example.com", (EnvelopeRecipient("bia@example.com"), EnvelopeRecipient("caio@example.net")))
SMALL, LARGE, DSN = queue_id_from_int(1), queue_id_from_int(2), queue_id_from_int(3)
DATA = {SMALL: b"small" * 100, LARGE: b"large" * 20_000, DSN: b"bounce" * 50}

View = dict[str, bytes]


@dataclass
class Promises:
    """What the outside was told at one moment: rows that must be there, rows that may be, rows that must not."""

    must: frozenset[QueueId] = frozenset()
    may: frozenset[QueueId] = frozenset()


@dataclass
class Recorder:
    """Follows every write and flush below a directory and keeps a picture after each."""

    root: Path
    promises: Promises = field(default_factory=Promises)
    flushed: View = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    pictures: list[tuple[str, View, Promises]] = field(default_factory=list)

    def step(self, label: str) -> None:
        """Take both pictures."""
        found = {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        written = {name: data for name, data in found.items() if not name.endswith(("-shm", "lock"))}
        self.pictures.append((f"{label}, killed", written, self.promises))
        durable = {name: self.flushed.get(name, b"") for name in self.named}
        self.pictures.append((f"{label}, no power", durable, self.promises))

    def flush(self, path: Path) -> None:
        name = str(path.relative_to(self.root))
        if path.exists():
            self.flushed[name] = path.read_bytes()
            if path.parent == self.root:
                # SQLite flushes the directory of its files itself.
                self.named.add(name)

    def flush_directory(self, path: Path) -> None:
        inside = {str(one.relative_to(self.root)) for one in path.iterdir() if one.is_file() and not one.name.endswith(("-shm", "lock"))}
        folder = "" if path == self.root else f"{path.relative_to(self.root)}/"
        self.named = {name for name in self.named if name.rpartition("/")[0] != folder.rstrip("/")} | inside


class RecordingOps(FileOps):
    """The system calls of content files, each a step."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.paths: dict[int, Path] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self.paths[descriptor] = path
        self.recorder.step("create")
        return descriptor

    def write(self, descriptor: int, data: "bytes | memoryview") -> int:
        # A short write: the rest must come with the next call.
        written = super().write(descriptor, data[: max(1, len(data) // 2)])
        self.recorder.step("write")
        return written

    def flush(self, descriptor: int) -> None:
        super().flush(descriptor)
        self.recorder.flush(self.paths[descriptor])
        self.recorder.step("flush")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self.recorder.step("close")

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.recorder.step("remove")

    def flush_directory(self, path: Path) -> None:
        super().flush_directory(path)
        if path.is_relative_to(self.recorder.root):
            self.recorder.flush_directory(path)
        self.recorder.step("flush directory")


class WatchedFile(apsw.VFSFile):
    """One of SQLite's files; ``before`` may raise instead of letting a call through."""

    def __init__(self, vfs: "WatchedVfs", name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.before("write")
        super().xWrite(data, offset)
        self._vfs.after("sqlite write", None)

    def xSync(self, flags: int) -> None:
        self._vfs.before("sync")
        super().xSync(flags)
        self._vfs.after("sqlite flush", self._path)


class WatchedVfs(apsw.VFS):
    """SQLite's file layer with somebody watching."""

    def __init__(self, name: str, before: Callable[[str], None], after: Callable[[str, Path | None], None]) -> None:
        super().__init__(name, "")
        self.before = before
        self.after = after

    def xOpen(self, name: Any, flags: list[int]) -> WatchedFile:
        return WatchedFile(self, name, flags)


def scenario(spool: Spool, promise: Callable[[Promises], None]) -> None:
    """Live through a message's whole life, telling before and after each commit what the outside may rely on."""
    promise(Promises(may=frozenset({SMALL})))
    spool.commit(Batch(additions=[Addition(SMALL, ENVELOPE, len(DATA[SMALL]), 1.0, DATA[SMALL])]))
    promise(Promises(must=frozenset({SMALL}), may=frozenset({SMALL})))
    file = spool.new_content_file(LARGE)
    file.write([DATA[LARGE][:50_000]])
    file.finish([DATA[LARGE][50_000:]])
    promise(Promises(must=frozenset({SMALL}), may=frozenset({SMALL, LARGE})))
    spool.commit(Batch(additions=[Addition(LARGE, ENVELOPE, len(DATA[LARGE]), 2.0, None)]))
    promise(Promises(must=frozenset({SMALL, LARGE}), may=frozenset({SMALL, LARGE})))
    spool.commit(Batch(updates=[RecipientUpdate(SMALL, 0, 1, 300.0, "4.2.0", "busy")], removals=[Removal(LARGE, [0])]))
    spool.commit(Batch(changes=[StateChange(SMALL, MessageState.HOLD, "by hand")]))
    spool.checkpoint()
    # A bounce: the DSN comes and the failed message goes in one step.
    both = frozenset({SMALL, DSN})
    promise(Promises(must=frozenset({LARGE}), may=both | {LARGE}))
    spool.commit(Batch(additions=[Addition(DSN, ENVELOPE, len(DATA[DSN]), 3.0, DATA[DSN], 1)], removals=[Removal(SMALL)]))
    promise(Promises(must=frozenset({LARGE, DSN}), may=frozenset({LARGE, DSN})))
    # Relayed: written, not flushed. Without power it may come back, and then whole; an empty batch that must be durable ends that.
    promise(Promises(must=frozenset({DSN}), may=frozenset({LARGE, DSN})))
    committed = spool.commit(Batch(removals=[Removal(LARGE)], durable=False))
    spool.commit(Batch())
    promise(Promises(must=frozenset({DSN}), may=frozenset({DSN})))
    spool.remove_files(committed.files)
    spool.checkpoint()


def pictures_of(root: Path) -> Iterator[tuple[str, View, Promises]]:
    recorder = Recorder(root)

    def after(label: str, flushed: Path | None) -> None:
        if flushed is not None:
            recorder.flush(flushed)
        recorder.step(label)

    def promise(promises: Promises) -> None:
        recorder.promises = promises

    vfs = WatchedVfs("watched", lambda _call: None, after)
    spool = Spool(root, file_ops=RecordingOps(recorder), vfs="watched")
    spool.open()
    scenario(spool, promise)
    spool.close()
    del vfs
    yield from recorder.pictures


def test_every_moment_of_a_crash_keeps_every_promise(tmp_path: Path) -> None:
    """From each picture a start finds every acknowledged message whole, invents none, and leaves no orphan file."""
    seen = set()
    pictures = list(pictures_of(tmp_path / "live"))
    for number, (label, view, promises) in enumerate(pictures):
        seen.add(label)
        root = tmp_path / str(number)
        for name, data in view.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        spool = Spool(root)
        spool.open()
        swept = spool.sweep()
        assert () == swept.corrupt, label
        messages = spool.messages(10)
        rows = {message.queue_id for message in messages}
        assert promises.must <= rows <= promises.may | promises.must, label
        # A bounce in progress: one of the two, never both, never neither.
        if promises.may >= {SMALL, DSN}:
            assert 1 == len(rows & {SMALL, DSN}), label
        for message in messages:
            with spool.content(message.queue_id).open() as stream:
                assert DATA[message.queue_id] == stream.read(), label
        files = {path.name for path in (root / "content").iterdir()}
        assert {message.queue_id for message in messages if message.is_in_file} == files, label
        spool.close()
    assert 40 < len(pictures)
    assert {
        f"{step}, {end}" for step in ("create", "write", "flush", "sqlite write", "sqlite flush") for end in ("killed", "no power")
    } <= seen


def test_what_need_not_be_durable_is_written_and_flushed_by_the_next_that_must(tmp_path: Path) -> None:
    """No flush for removals alone, though a killed process has made them; one for the message that follows them."""
    calls: list[str] = []
    vfs = WatchedVfs("counting", calls.append, lambda _label, _path: None)
    spool = Spool(tmp_path / "queue", vfs="counting")
    spool.open()
    spool.commit(Batch(additions=[Addition(SMALL, ENVELOPE, len(DATA[SMALL]), 1.0, DATA[SMALL])]))
    calls.clear()
    spool.commit(Batch(removals=[Removal(SMALL)], durable=False))
    assert {"write"} == set(calls)
    shutil.copytree(tmp_path / "queue", tmp_path / "killed", ignore=shutil.ignore_patterns("*-shm"))
    killed = Spool(tmp_path / "killed")
    killed.open()
    assert [] == killed.messages(10)
    killed.close()
    calls.clear()
    spool.commit(Batch(additions=[Addition(DSN, ENVELOPE, len(DATA[DSN]), 2.0, DATA[DSN])]))
    assert 1 == calls.count("sync")
    assert spool.is_flushed
    spool.close()
    del vfs


@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize(("fault", "kind"), [(apsw.FullError, OutOfSpaceError), (apsw.IOError, UnavailableError)])
def test_sqlite_refusals_keep_nothing_and_pass(tmp_path: Path, call: str, fault: type[Exception], kind: type[ApplianceError]) -> None:
    """A full disk or an input error at the n-th write or flush of a commit: the right error, no row, and the next commit works."""
    countdown = -1

    def before(what: str) -> None:
        nonlocal countdown
        if what == call and countdown >= 0:
            countdown -= 1
            if countdown < 0:
                raise fault("planted")

    vfs = WatchedVfs("failing", before, lambda _label, _path: None)
    spool = Spool(tmp_path / "queue", vfs="failing")
    spool.open()
    refused = 0
    for attempt in range(8):
        countdown = attempt
        queue_id = queue_id_from_int(attempt + 1)
        addition = Addition(queue_id, ENVELOPE, 9_000, 1.0, b"x" * 9_000)
        try:
            spool.commit(Batch(additions=[addition]))
        except kind:
            refused += 1
            assert [] == spool.load([queue_id])
            countdown = -1
            spool.commit(Batch(additions=[addition]))
        countdown = -1
        assert 1 == len(spool.load([queue_id]))
    assert 1 <= refused
    spool.close()
    del vfs


class PlantedOps(FileOps):
    """Raises at one named call."""

    def __init__(self, call: str, error: OSError) -> None:
        self.call = call
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in {"create", "write", "flush", "close", "flush_directory"} and name == super().__getattribute__("call"):

            def fail(*_arguments: object) -> None:
                raise super(PlantedOps, self).__getattribute__("error")

            return fail
        return found


@pytest.mark.parametrize("call", ["create", "write", "flush", "close", "flush_directory"])
@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, OutOfSpaceError), (errno.EDQUOT, OutOfSpaceError), (errno.EIO, UnavailableError)]
)
def test_a_refused_content_file_leaves_nothing(tmp_path: Path, call: str, code: int, kind: type[ApplianceError]) -> None:
    """Each system call of a content file may be refused: the kind says why, abandoning leaves no row and no file."""
    ops = PlantedOps("", OSError(code, "planted"))
    spool = Spool(tmp_path / "queue", file_ops=ops)
    spool.open()
    ops.call = call
    file = spool.new_content_file(LARGE)
    with pytest.raises(kind):  # noqa: PT012 - the error comes from one of these, whichever makes the call
        file.write([DATA[LARGE][:70_000]])
        file.finish([DATA[LARGE][70_000:]])
        spool.commit(Batch(additions=[Addition(LARGE, ENVELOPE, len(DATA[LARGE]), 1.0, None)]))
    ops.call = ""
    file.abandon()
    file.abandon()
    assert [] == list((tmp_path / "queue" / "content").iterdir())
    assert [] == spool.messages(10)
    spool.close()
