"""Many rows with few statements.

Each step of a statement lets the interpreter's lock go and waits to have it
back: fewer are cheaper for all threads.

Sources: sqlite.org/limits.html (at most 32,766 variables in a statement).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

__all__ = ["ROWS_AT_ONCE", "add_rows", "parts"]

ROWS_AT_ONCE: Final = 32
T = TypeVar("T")


@lru_cache(maxsize=4 * ROWS_AT_ONCE)
def _statement(table: str, values: str, count: int) -> str:
    """Return the statement that puts ``count`` rows in."""
    return f"INSERT INTO {table} VALUES{','.join([values] * count)}"


def parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield ``rows`` in pieces that one statement takes."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def add_rows(cursor: Any, table: str, values: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows in. ``table``: its name, and its columns where not all are given; ``values``: the marks of one row in brackets."""
    for part in parts(rows):
        cursor.execute(_statement(table, values, len(part)), [value for row in part for value in row])
