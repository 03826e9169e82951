"""Collects problems while a file is decoded, so that all are told at once.

Owns their order (that of the file), the rule that one place is complained about
once, and the did-you-mean.
"""

from collections.abc import Iterable

from appliance.config.locate import Locator
from appliance.config.problem import ConfigError, KeyPath, Problem, key_text

__all__ = ["Report", "alike"]


class Report:
    """Problems of one file."""

    def __init__(self, file: str, locator: Locator) -> None:
        self._file = file
        self._locator = locator
        self._problems: dict[KeyPath, Problem] = {}

    def add(self, path: KeyPath, message: str, at: KeyPath | None = None) -> None:
        """Note what is wrong with a key. ``at``: where to point when the key itself is not in the file.

        The first complaint about a place, or about something around it, stays alone: the rest would follow from it.
        """
        if any(path[:length] in self._problems for length in range(1, len(path) + 1)):
            return
        line = self._locator.line(path if at is None else at)
        self._problems[path] = Problem(self._file, line, key_text(path), message)

    def has(self, *paths: KeyPath) -> bool:
        """Say whether something is wrong at or below one of the places; then what follows from them is not checked."""
        return any(found[: len(path)] == path for path in paths for found in self._problems)

    def problems(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._problems.values(), key=lambda problem: problem.line))

    def raise_if_any(self) -> None:
        if self._problems:
            raise ConfigError(self.problems())


def alike(word: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for a misspelt word, or ``""``."""
    # Only a wrong file needs difflib.
    import difflib

    close = difflib.get_close_matches(word[:64], [candidate for candidate in candidates if candidate], n=1)
    return f"; did you mean {close[0]}?" if close else ""
