"""What is wrong with a settings file, in words and with the line.

Owns the two types that everything in ``config`` reports with. A problem names
the key as people write it; members of a list count from 1 (``users[2].name``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ConfigError", "KeyPath", "Problem", "key_text"]

KeyPath = tuple[str | int, ...]
"""Where a value stands: table and key names, and positions in lists from 0."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``line`` counts from 1; 0 means the file as a whole. ``key`` may be empty, as for a syntax error."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(Exception):
    """The file cannot be used. ``problems`` is never empty and in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def key_text(path: KeyPath) -> str:
    """Return a path as people read it: ``("users", 1, "name")`` is ``users[2].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text
