"""The trace journal on disk: segments that are only appended to, packed when they are full, removed when they are old.

Owns ``<data>/trace/``: ``SECONDS.log`` is being written, ``SECONDS.log.gz`` is full
and packed. Their names say when they began. Nothing waits for the disk: a crash
loses the last seconds of the journal, never mail.

Fails: OSError becomes UnavailableError.
Does not: know what a line means, beyond the queue id behind the first tab.

Sources: syslog and logrotate habits, RFC 1952 (gzip).
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from appliance.model.errors import UnavailableError

__all__ = ["TraceFiles", "search"]

SEGMENT_BYTES: Final = 8_388_608
DAY_S: Final = 86_400
MAX_UNPACKED: Final = 4 * SEGMENT_BYTES


class TraceFiles:
    """Appends; one thread at a time."""

    def __init__(self, directory: Path, *, keep_days: int, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._current: Path | None = None
        self._size = 0
        self._pruned_at_s = 0.0

    def append(self, lines: bytes, now_s: float) -> None:
        """Write lines at the end. Blocks: disk, without a flush. Raises UnavailableError."""
        with _translated(self._directory):
            if self._current is None or self._size >= self._segment_bytes:
                self._begin(now_s)
            assert self._current is not None
            descriptor = os.open(self._current, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, lines)
            finally:
                os.close(descriptor)
            self._size += len(lines)
            if now_s >= self._pruned_at_s + DAY_S / 24:
                self._prune(now_s)

    def _begin(self, now_s: float) -> None:
        """Pack what an earlier process or we have filled, and begin a segment; go on with the last one that has room."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        started = _segments(self._directory)
        open_ones = [path for path in started if path.suffix == ".log"]
        for path in open_ones:
            if path is not open_ones[-1] or path.stat().st_size >= self._segment_bytes:
                _pack(path)
            else:
                self._current, self._size = path, path.stat().st_size
                return
        number = max([int(now_s), *(_began(path) + 1 for path in started)])
        self._current, self._size = self._directory / f"{number}.log", 0
        self._prune(now_s)

    def _prune(self, now_s: float) -> None:
        """Remove segments that ended too long ago, and the oldest ones while all together are too large."""
        self._pruned_at_s = now_s
        started = _segments(self._directory)
        ends = [*(_began(path) for path in started[1:]), int(now_s)][: len(started)]
        kept = sum(path.stat().st_size for path in started)
        for path, end_s in zip(started, ends, strict=True):
            if path == self._current or (end_s >= now_s - self._keep_days * DAY_S and kept <= self._max_bytes):
                continue
            kept -= path.stat().st_size
            path.unlink()


def _began(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _segments(directory: Path) -> list[Path]:
    """Return the segments, oldest first."""
    try:
        found = [
            path for path in directory.iterdir() if path.name.endswith((".log", ".log.gz")) and path.name.partition(".")[0].isdecimal()
        ]
    except FileNotFoundError:
        return []
    return sorted(found, key=_began)


def _pack(path: Path) -> None:
    """Replace a full segment by its packed form; a crash leaves the one or the other."""
    packed = path.with_name(path.name + ".gz")
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # Level 1: text of this kind shrinks to a sixth either way, in a third of the time.
        file.write(gzip.compress(path.read_bytes(), 1, mtime=0))
    temporary.rename(packed)
    path.unlink()


@contextmanager
def _translated(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{directory}: {error.strerror or error}") from error


def _read(path: Path) -> bytes:
    """Return a segment's lines; of a damaged one what can be read, nothing of one that went meanwhile."""
    with suppress(FileNotFoundError):
        if path.suffix != ".gz":
            return path.read_bytes()
        unpacker = zlib.decompressobj(wbits=31)
        with suppress(zlib.error):
            return unpacker.decompress(path.read_bytes(), MAX_UNPACKED)
    packed = path.with_name(path.name + ".gz")
    return _read(packed) if path.suffix != ".gz" and packed.exists() else b""


def search(directory: Path, is_wanted: Callable[[bytes], bool], hint: Sequence[bytes], limit: int) -> list[str]:
    """Return every line of the newest ``limit`` messages of which one line is wanted, oldest first.

    ``hint``: lower-case octets of which a wanted line has all: what lacks one is not looked at line by line.
    Blocks:   disk and processor, about 10 ms per segment.
    Raises:   UnavailableError.
    """
    with _translated(directory):
        segments = _segments(directory)
        wanted: dict[bytes, None] = {}
        alone: list[bytes] = []
        for path in reversed(segments):
            if len(wanted) + len(alone) >= limit:
                break
            _find(_read(path), is_wanted, hint, limit, wanted, alone)
        lines = list(alone)
        if wanted:
            for path in segments:
                lines += _lines_of(_read(path), wanted)
    return [line.decode("utf-8", "replace") for line in sorted(lines, key=_moment)]


def _moment(line: bytes) -> float:
    try:
        return float(line.partition(b"\t")[0])
    except ValueError:
        return 0.0


def _find(
    data: bytes, is_wanted: Callable[[bytes], bool], hint: Sequence[bytes], limit: int, wanted: dict[bytes, None], alone: list[bytes]
) -> None:
    """Add the queue ids of wanted lines, newest first, and the wanted lines that belong to no message."""
    lowered = data.lower()
    if not all(part in lowered for part in hint):
        return
    longest = max(hint, key=len, default=b"")
    end = len(data)
    while end > 0 and len(wanted) + len(alone) < limit:
        at = lowered.rfind(longest, 0, end)
        if at < 0:
            return
        start = lowered.rfind(b"\n", 0, at) + 1
        stop = lowered.find(b"\n", at)
        line = data[start : stop if stop >= 0 else len(data)]
        end = start
        if not is_wanted(line):
            continue
        queue_id = line.split(b"\t", 2)[1:2]
        if queue_id in ([b"-"], []):
            alone.append(line)
        else:
            wanted.setdefault(queue_id[0])


def _lines_of(data: bytes, wanted: dict[bytes, None]) -> list[bytes]:
    """Return the lines that have one of these queue ids, as their own or as what a notification is about."""
    found: dict[int, bytes] = {}
    for queue_id in wanted:
        at = data.find(b"\t" + queue_id + b"\t")
        while at >= 0:
            start = data.rfind(b"\n", 0, at) + 1
            stop = data.find(b"\n", at)
            stop = stop if stop >= 0 else len(data)
            found[start] = data[start:stop]
            at = data.find(b"\t" + queue_id + b"\t", stop)
    return [found[start] for start in sorted(found)]
