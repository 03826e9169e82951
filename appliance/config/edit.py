"""Changes one thing in a TOML text and leaves every other byte alone: comments, order, spacing, line ends.

Owns adding, changing and removing users and aliases. After each edit the text
is parsed again and compared with the change that was meant; a file whose
shape is too unusual is refused rather than guessed at.

Fails: ``EditError`` with the reason; the caller's text is then still good.
Does not: decide whether the result is a valid set of settings; decode it.

Sources: TOML 1.0.0.
"""

import copy
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.config.locate import Header, Locator, locate
from appliance.config.problem import KeyPath
from appliance.config.render import toml_value

__all__ = ["EditError", "add_alias", "add_user", "remove_alias", "remove_user", "set_user_key", "user_names"]

Value = str | int | list[str]
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANK_LINE = re.compile(r"[ \t]*\r?\n")
_COMMENT_LINES = re.compile(r"(?:[ \t]*#[^\n]*(?:\n|\Z))+")


class EditError(Exception):
    """The change cannot be made. ``exists`` and ``missing`` say which kind, for the exit code."""

    def __init__(self, message: str, *, exists: bool = False, missing: bool = False) -> None:
        super().__init__(message)
        self.exists = exists
        self.missing = missing


def add_user(text: str, name: str, keys: Mapping[str, Value]) -> str:
    """Return the text with a further ``[[users]]`` table, after the last one or at the end."""
    document = _Document(text)
    if document.user_index(name) is not None:
        raise EditError(f"user {name} is already there", exists=True)
    entry: dict[str, Value] = {"name": name, **keys}
    lines = ["[[users]]", *(f"{key} = {toml_value(value)}" for key, value in entry.items())]
    last = [header for header in document.locator.headers if header.path[:1] == ("users",)]
    at = document.block_end(last[-1]) if last else len(text)
    return document.finish(document.with_block(at, lines), lambda raw: raw.setdefault("users", []).append(entry))


def user_names(text: str) -> frozenset[str]:
    """Return the names of the users in a text that need not be valid settings. Raises EditError when it is not TOML."""
    users = _parse(text).get("users", [])
    members = users if isinstance(users, list) else []
    return frozenset(user["name"] for user in members if isinstance(user, dict) and isinstance(user.get("name"), str))


def set_user_key(text: str, name: str, key: str, value: Value) -> str:
    """Return the text with one key of a user set."""
    document = _Document(text)
    index = document.need_user(name)
    changed = document.with_value(("users", index), key, value)
    return document.finish(changed, lambda raw: raw["users"][index].__setitem__(key, value))


def remove_user(text: str, name: str) -> str:
    """Return the text without a user's table and the comments inside it."""
    document = _Document(text)
    index = document.need_user(name)
    header = document.header(("users", index))
    if header is None:
        raise EditError("the users stand in one list; take this one out with an editor")

    def remove(raw: dict[str, Any]) -> None:
        del raw["users"][index]
        if not raw["users"]:
            del raw["users"]

    return document.finish(document.without(header.start, document.block_end(header)), remove)


def add_alias(text: str, key: str, targets: Sequence[str]) -> str:
    """Return the text with targets added to an alias, which is made if it is not there."""
    document = _Document(text)
    written = document.alias_key(key)
    old = document.alias_targets(written) if written is not None else []
    new = list(dict.fromkeys([*old, *targets]))
    if written is not None and new == old:
        raise EditError(f"{key} already leads to {', '.join(targets)}", exists=True)
    return document.with_alias(written or key, new)


def remove_alias(text: str, key: str, targets: Sequence[str] = ()) -> str:
    """Return the text without an alias, or without some of its targets; one that leads to nobody goes as a whole."""
    document = _Document(text)
    written = document.alias_key(key)
    if written is None:
        raise EditError(f"no alias {key} is there", missing=True)
    old = document.alias_targets(written)
    absent = [target for target in targets if target not in old]
    if absent:
        raise EditError(f"{key} does not lead to {', '.join(absent)}", missing=True)
    left = [target for target in old if target not in targets]
    if targets and left:
        return document.with_alias(written, left)
    span = document.locator.spans.get(("aliases", written))
    if span is None or document.header(("aliases",)) is None:
        raise EditError("the aliases stand in one { } table; take this one out with an editor")
    changed = document.without_line(span.start, span.value_end)
    return document.finish(changed, lambda raw: raw["aliases"].__delitem__(written))


class _Document:
    """A text with its values and places."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.raw = _parse(text)
        self.locator: Locator = locate(text)
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def user_index(self, name: str) -> int | None:
        users = self.raw.get("users", [])
        if not isinstance(users, list):
            raise EditError("users is not a list of [[users]] tables; change it with an editor")
        return next((index for index, user in enumerate(users) if isinstance(user, dict) and user.get("name") == name), None)

    def need_user(self, name: str) -> int:
        index = self.user_index(name)
        if index is None:
            raise EditError(f"no user {name} is there", missing=True)
        return index

    def alias_key(self, key: str) -> str | None:
        aliases = self.raw.get("aliases", {})
        if not isinstance(aliases, dict):
            raise EditError("aliases is not a table; change it with an editor")
        return next((each for each in aliases if each.lower() == key.lower()), None)

    def alias_targets(self, key: str) -> list[str]:
        targets = self.raw["aliases"][key]
        return [targets] if isinstance(targets, str) else list(targets)

    def with_alias(self, key: str, targets: list[str]) -> str:
        if "aliases" in self.raw:
            changed = self.with_value(("aliases",), key, targets)
        else:
            changed = self.with_block(len(self.text), ["[aliases]", f"{_toml_key(key)} = {toml_value(targets)}"])
        return self.finish(changed, lambda raw: raw.setdefault("aliases", {}).__setitem__(key, targets))

    def finish(self, changed: str, apply: Callable[[dict[str, Any]], object]) -> str:
        """Return the changed text if it means exactly what was meant."""
        wanted = copy.deepcopy(self.raw)
        apply(wanted)
        try:
            found = _parse(changed)
        except EditError:
            found = {}
        if found != wanted:
            raise EditError("the file is written in a way that this command cannot edit; change it with an editor")
        return changed

    def header(self, path: KeyPath) -> Header | None:
        return next((header for header in self.locator.headers if header.path == path), None)

    def block_end(self, header: Header) -> int:
        """Return where the lines of a table end: after its last key and the comments right below it."""
        following = [other.start for other in self.locator.headers if other.start > header.start]
        limit = min(following, default=len(self.text))
        ends = [span.value_end for span in self.locator.spans.values() if header.start < span.start < limit]
        end = self._line_end(max([header.end, *ends]))
        comments = _COMMENT_LINES.match(self.text, end)
        # Comments that lead over to the next table without a blank line are that table's.
        return comments.end() if comments and comments.end() < self._line_start(limit) else end

    def with_block(self, at: int, lines: Sequence[str]) -> str:
        """Insert a table of its own, a blank line before and (unless the text ends) after it."""
        before, after = self.text[:at], self.text[at:]
        block = "".join(line + self._newline for line in lines)
        if before and not before.endswith("\n"):
            before += self._newline
        gap = self._newline if before and not before.endswith(self._newline * 2) else ""
        tail = self._newline if after and not _BLANK_LINE.match(after) else ""
        return f"{before}{gap}{block}{tail}{after}"

    def with_value(self, table: KeyPath, key: str, value: Value) -> str:
        """Replace a value, or add the key after the last one of its table."""
        written = toml_value(value)
        span = self.locator.spans.get((*table, key))
        if span is not None:
            return self.text[: span.value_start] + written + self.text[span.value_end :]
        pair = f"{_toml_key(key)} = {written}"
        members = [each for path, each in self.locator.spans.items() if path[:-1] == table]
        header = self.header(table)
        if header is not None:
            at = self._line_end(max([header.end, *(each.value_end for each in members)]))
            gap = "" if self.text[:at].endswith("\n") else self._newline
            return f"{self.text[:at]}{gap}{pair}{self._newline}{self.text[at:]}"
        if table in self.locator.spans and members:
            at = members[-1].value_end
            return f"{self.text[:at]}, {pair}{self.text[at:]}"
        raise EditError(f"{table[0]} is written in a way that this command cannot edit; change it with an editor")

    def without(self, start: int, end: int) -> str:
        """Cut lines, and one of the blank lines that then meet."""
        start = self._line_start(start)
        before, after = self.text[:start], self.text[end:]
        blank = _BLANK_LINE.match(after)
        if blank and (not before or before.endswith("\n\n") or before.endswith("\n\r\n")):
            after = after[blank.end() :]
        return before + after

    def without_line(self, start: int, end: int) -> str:
        return self.text[: self._line_start(start)] + self.text[self._line_end(end) :]

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Return the offset behind the line end, comment on the same line included."""
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found + 1


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise EditError(f"the file is not valid TOML: {error}") from error
