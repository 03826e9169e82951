"""Collects problems while a file is decoded, so that all are told at once.

Owns their order (that of the file), the rule that one place is complained about
once, and the did-you-mean, which is looked for a bounded number of times: who
made thousands of mistakes made one.
"""

from collections.abc import Iterable
from itertools import islice

from appliance.config.locate import Locator
from appliance.config.problem import ConfigError, KeyPath, Problem, key_text

__all__ = ["Report"]

MAX_HINTS = 20
MAX_CANDIDATES = 5_000


class Report:
    """Problems of one file."""

    def __init__(self, file: str, locator: Locator) -> None:
        self._file = file
        self._locator = locator
        self._problems: dict[KeyPath, Problem] = {}
        self._hints = 0

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

    def alike(self, word: str, candidates: Iterable[str]) -> str:
        """Return ``; did you mean X?`` for a misspelt word, or ``""``."""
        self._hints += 1
        if self._hints > MAX_HINTS:
            return ""
        # Only a wrong file needs difflib.
        import difflib

        known = [candidate for candidate in islice(candidates, MAX_CANDIDATES) if candidate]
        close = difflib.get_close_matches(word[:64], known, n=1)
        return f"; did you mean {close[0]}?" if close else ""

    def problems(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._problems.values(), key=lambda problem: problem.line))

    def raise_if_any(self) -> None:
        if self._problems:
            raise ConfigError(self.problems())
