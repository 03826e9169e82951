"""Two messages side by side: which lines of their headers, texts and HTML differ.

Owns how much is compared: beyond it lines are left out and it is told.

Fails: never. Blocks: no, but may take a while for long texts; call it in a worker thread.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from appliance.message.reading import Reading
from appliance.message.text import decode_bytes

__all__ = ["Difference", "Section", "compare_lines", "compare_messages"]

_MOST_LINES: Final = 1_500
_LONGEST_LINE: Final = 1_000
_CONTEXT: Final = 3
_FOLD = re.compile(r"\r?\n[ \t]+")
_BOUNDARY = re.compile(r"(;\s*boundary=)(?:\"[^\"]*\"|[^\s;]+)", re.IGNORECASE)
_AFTER_TAG = re.compile(r">\s*<")

Kind = Literal["same", "changed", "removed", "added", "skipped"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One row: a line of each side, ``""`` where a side has none; for ``skipped`` the number of equal lines."""

    kind: Kind
    left: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """``name``: headers, text or html. ``changes``: rows that differ. ``is_cut``: there is more that was not compared."""

    name: str
    rows: Sequence[Difference]
    changes: int
    is_cut: bool


def compare_messages(left: Reading, right: Reading, *, ignored: frozenset[bytes] = frozenset()) -> list[Section]:
    """Return each part of two messages that at least one of them has. ``ignored``: fields to leave out, lower case; with any, boundaries too."""
    pairs = (
        ("headers", _header_lines(left, ignored), _header_lines(right, ignored)),
        ("text", left.text().splitlines(), right.text().splitlines()),
        ("html", _html_lines(left), _html_lines(right)),
    )
    return [_section(name, first, second) for name, first, second in pairs if first or second]


def _section(name: str, left: Sequence[str], right: Sequence[str]) -> Section:
    rows = list(compare_lines(left[:_MOST_LINES], right[:_MOST_LINES]))
    changes = sum(row.kind not in {"same", "skipped"} for row in rows)
    return Section(name, rows, changes, max(len(left), len(right)) > _MOST_LINES)


def compare_lines(left: Sequence[str], right: Sequence[str]) -> Iterator[Difference]:
    """Yield the rows of two texts, long runs of equal lines skipped."""
    first, second = [[line[:_LONGEST_LINE] for line in side] for side in (left, right)]
    matcher = difflib.SequenceMatcher(None, first, second)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        if group[0][1] > 0:
            yield Difference("skipped", str(group[0][1]))
        for tag, start, end, other_start, other_end in group:
            for at in range(max(end - start, other_end - other_start)):
                one = first[start + at] if start + at < end else ""
                other = second[other_start + at] if other_start + at < other_end else ""
                yield Difference(_kind(tag, start + at < end, other_start + at < other_end), one, other)


def _kind(tag: str, has_left: bool, has_right: bool) -> Kind:
    if tag == "equal":
        return "same"
    if has_left and has_right:
        return "changed"
    return "removed" if has_left else "added"


def _header_lines(reading: Reading, ignored: frozenset[bytes]) -> list[str]:
    kept = [field for field in reading.header.fields if field.name.lower() not in ignored][:_MOST_LINES]
    lines = [_FOLD.sub(" ", decode_bytes(field.raw)).strip() for field in kept]
    return [_BOUNDARY.sub(r"\1*", line) for line in lines] if ignored else lines


def _html_lines(reading: Reading) -> list[str]:
    """Return the HTML with a line for each element: what generators write has few lines of its own."""
    return [line for line in _AFTER_TAG.sub(">\n<", reading.html()).splitlines() if line.strip()]
