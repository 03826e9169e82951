"""The trace journal while the server runs: gathers, writes once a second, searches.

Owns the pace. What was gathered and not written when the process is killed is lost: it is a
second of the journal, and no mail.

Fails: a disk that refuses costs lines of the journal, which is told once.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from appliance.config.schema import TraceConfig
from appliance.model.errors import ApplianceError
from appliance.model.ports import Clock, Offload
from appliance.observe.maillog import MailLog
from appliance.observe.trace import TraceGatherer, parse_line
from appliance.observe.tracetext import Story, query_words, stories
from appliance.storage.trace_files import TraceFiles, search

__all__ = ["Tracing", "find_stories", "story_to_json"]

WRITE_S = 1.0
LAST_WRITE_S = 5.0
_ACCEPTED = b"\ta\t"


class Tracing:
    """``run`` must run. ``find`` sees everything up to its call."""

    def __init__(
        self,
        directory: Path,
        config: TraceConfig,
        gatherer: TraceGatherer,
        offload: Offload,
        search_offload: Offload,
        clock: Clock,
        log: MailLog,
    ) -> None:
        """``offload`` must run one call at a time."""
        self._directory = directory
        self._files = TraceFiles(directory, keep_days=config.keep_days, max_bytes=config.max_mib * 1_048_576)
        self._gatherer = gatherer
        self._offload = offload
        self._search_offload = search_offload
        self._clock = clock
        self._log = log
        self._is_failing = False

    async def run(self) -> None:
        """Write until cancelled, and once more."""
        try:
            while True:
                await trio.sleep(WRITE_S)
                await self.write()
        finally:
            with trio.move_on_after(LAST_WRITE_S, shield=True):
                await self.write()  # noqa: ASYNC102 - bounded by the deadline above

    async def write(self) -> None:
        """Write what was gathered. Blocks: disk."""
        if not self._gatherer.count:
            return
        try:
            await self._offload.run(self._write, self._gatherer.take())
        except ApplianceError as error:
            if not self._is_failing:
                self._log.warning("trace_not_written", reason=error.detail, consequence="carteiro trace will not know of this mail")
            self._is_failing = True
        else:
            self._is_failing = False

    def _write(self, taken: Sequence[tuple[float, str, Mapping[str, Any]]]) -> None:
        self._files.append(self._gatherer.lines(taken), self._clock.now_s())

    async def find(self, query: str, limit: int) -> list[Story]:
        """Return the newest messages that a query means. Blocks: disk. Raises UnavailableError."""
        await self.write()
        return await self._search_offload.run(find_stories, self._directory, query, limit)


def find_stories(directory: Path, query: str, limit: int) -> list[Story]:
    """Return the newest messages that a query means, from the files alone. Blocks: disk. Raises UnavailableError."""
    words, in_subject = query_words(query)
    if not words:
        return []
    hint = [word.encode() for word in words if word.isascii()]
    lines = search(directory, partial(_is_wanted, words, in_subject), [*hint, _ACCEPTED] if in_subject else hint or [_ACCEPTED], limit)
    return stories([event for line in lines if (event := parse_line(line)) is not None])[:limit]


def _is_wanted(words: Sequence[str], in_subject: bool, line: bytes) -> bool:
    event = parse_line(line.decode("utf-8", "replace"))
    if event is None:
        return False
    text = (event["subject"] if in_subject else "\t".join((event.queue_id, *event.fields.values()))).lower()
    return all(word in text for word in words)


def story_to_json(story: Story) -> dict[str, Any]:
    """Return a story as it crosses the control socket and as ``--json`` prints it."""
    events = [{"at": round(event.at_s, 3), "kind": event.kind, "queue_id": event.queue_id, **event.fields} for event in story.events]
    return {"queue_id": story.queue_id, "events": events}
