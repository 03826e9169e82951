"""From TOML text to ``Config``, strictly: every problem at once, each with its line and the fix.

Owns types, spelling and the looks of single values; what must hold between keys
is ``config.rules``. Pure: nothing is opened, ``config.load`` does that.

Fails: ``ConfigError`` and nothing else, for any text.
Does not: coerce. ``port = "25"`` and ``tls = yes`` are errors, since a guess that
goes wrong in a mail server is found weeks later.

Sources: TOML 1.0.0; chasquid and mox, whose checkers report everything in one run.
"""

import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal

from appliance.config.kinds import CHECKS
from appliance.config.locate import Locator, locate
from appliance.config.problem import ConfigError, KeyPath, Problem
from appliance.config.report import Report
from appliance.config.rules import check_rules
from appliance.config.schema import Config

__all__ = ["decode", "decode_located"]

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_AMOUNT = re.compile(r"(\d{1,15})\s*([a-zA-Z]*)")
_BYTE_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6, "mib": 2**20}
_BYTE_UNITS |= {"g": 10**9, "gb": 10**9, "gib": 2**30}
_TIME_UNITS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MAX_SHOWN = 60

_SYNTAX_HELP = (
    ("Expected '='", 'a key must be followed by = and a value, as in domain = "example.com"'),
    ("Invalid value", 'the value is missing or is not TOML: text stands in quotes ("example.com"), yes and no are true and false'),
    ("Cannot overwrite", "this key is in the file twice"),
    ("Cannot declare", "this table is in the file twice; put its keys together"),
    ("Duplicate inline table key", "this key is in the table twice"),
    ("Cannot mutate immutable", "this table was already written in one piece with { } or [ ]; put the keys there"),
    ("Cannot redefine", "this name is already in use for something else above"),
    ("Illegal character", "this character cannot stand here; text that spans lines needs three quotes"),
    ("Unterminated string", "a text lacks its closing quote"),
    ("Expected '\"", "a text lacks its closing quote"),
    ("Expected \"'", "a text lacks its closing quote"),
    ("Unescaped '\\'", "a backslash must be doubled, or write the text in 'single quotes'"),
    ("Unclosed array", "a list lacks its comma or closing ]"),
    ("Unclosed inline table", "a { table lacks its comma or closing }, which must be on the same line"),
    ("Invalid initial character", "a key is made of letters, digits, _ and -; anything else needs quotes around it"),
    ("Expected newline", "something follows the value that does not belong there; a comment begins with #"),
    ("Expected ']", "a [table] line lacks its closing ]"),
    ("Invalid statement", "this line is neither a comment, a [table] nor KEY = VALUE"),
)


def decode(text: str, file: str) -> Config:
    """Return the settings of a TOML text; ``file`` is only its name for problems.

    Blocks:   no (pure).
    Raises:   ConfigError with all problems, in the order of the file.
    """
    return decode_located(text, file)[0]


def decode_located(text: str, file: str) -> tuple[Config, Locator]:
    """Do what ``decode`` does and say also where each key stands."""
    raw = _parse(text, file)
    locator = locate(text)
    report = Report(file, locator)
    config: Config = _Decoder(report).table(Config, raw, ())
    check_rules(config, report)
    report.raise_if_any()
    return config, locator


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        message, line = "lists or tables are nested too deeply", 0
    except tomllib.TOMLDecodeError as error:
        message, line = _syntax_problem(str(error), text)
    except ValueError as error:
        # An integer of thousands of digits, a date such as 2024-02-30.
        message, line = f"a value cannot be read: {str(error)[:_MAX_SHOWN]}", 0
    raise ConfigError([Problem(file, line, "", f"not valid TOML: {message}")])


def _syntax_problem(message: str, text: str) -> tuple[str, int]:
    match = _POSITION.search(message)
    line = 0
    if match:
        message = message[: match.start()]
        # tomllib gives no number for the end; the last line with something on it is meant.
        line = int(match[1]) if match[1] else text.rstrip().count("\n") + 1
    help_text = next((words for start, words in _SYNTAX_HELP if message.startswith(start)), message)
    return help_text, line


class _Decoder:
    """Walks values and schema side by side; after a problem it goes on with the default."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def table(self, kind: type[Any], raw: Mapping[str, Any], path: KeyPath) -> Any:
        hints = typing.get_type_hints(kind)
        known = {field.name: field for field in fields(kind)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            field = known.get(key)
            if field is None:
                self._report.add((*path, key), _unknown(key, path, self._report.alike(key, known)))
            else:
                values[key] = self._value(hints[key], value, (*path, key), field)
        for name, field in known.items():
            if name not in values and field.default is MISSING and field.default_factory is MISSING:
                self._report.add((*path, name), f"is missing; write {name} = {field.metadata['example']}", at=path)
                values[name] = ""
        return kind(**values)

    def _value(self, hint: Any, value: Any, path: KeyPath, field: Field[Any]) -> Any:
        origin = typing.get_origin(hint)
        if is_dataclass(hint):
            return self._sub_table(hint, value, path)
        if origin is Literal:
            return self._choice(typing.get_args(hint), value, path, field)
        if origin is tuple:
            return self._list(typing.get_args(hint)[0], value, path, field)
        if origin in {Mapping, dict}:
            return self._mapping(typing.get_args(hint)[1], value, path, field)
        return self._scalar(hint, value, path, field)

    def _sub_table(self, hint: Any, value: Any, path: KeyPath) -> Any:
        if not isinstance(value, dict):
            self._report.add(path, f"is {_found(value)}, wanted a table: [{path[-1]}] on a line of its own, its keys below")
            return hint()
        return self.table(hint, value, path)

    def _choice(self, choices: tuple[str, ...], value: Any, path: KeyPath, field: Field[Any]) -> Any:
        if isinstance(value, str) and value in choices:
            return value
        wanted = " or ".join(f'"{choice}"' for choice in choices if choice)
        hint = self._report.alike(value, choices) if isinstance(value, str) else ""
        self._report.add(path, f"is {_found(value)}, wanted {wanted}{hint}")
        return field.default

    def _scalar(self, hint: Any, value: Any, path: KeyPath, field: Field[Any]) -> Any:
        # type() and not isinstance(): True is an int to Python, and to nobody else.
        if type(value) is not hint:
            self._report.add(path, _wrong_type(hint, value, path, secret=bool(field.metadata.get("secret"))))
        elif hint is int and not field.metadata["least"] <= value <= field.metadata["most"]:
            self._report.add(path, f"is {value}, wanted {_range(field.metadata)}")
        elif hint is not str or self._looks_right(value, path, field):
            return value
        return "" if field.default is MISSING else field.default

    def _looks_right(self, value: str, path: KeyPath, field: Field[Any]) -> bool:
        check = CHECKS.get(field.metadata.get("kind", ""))
        # An empty text means "the default" wherever there is one; a list has no empty members.
        if check is None or (not value and field.default == ""):
            return True
        message = check(value)
        if message:
            self._report.add(path, message)
        return not message

    def _list(self, member: Any, value: Any, path: KeyPath, field: Field[Any]) -> Any:
        if not isinstance(value, list):
            wanted = f"a list of tables: [[{path[-1]}]]" if is_dataclass(member) else "a list"
            example = f': ["{value}"]' if isinstance(value, str) and len(value) < _MAX_SHOWN else ""
            self._report.add(path, f"is {_found(value)}, wanted {wanted}{example}")
            return () if field.default is MISSING else field.default
        if is_dataclass(member):
            return tuple(self._sub_table_member(member, each, (*path, index)) for index, each in enumerate(value))
        return tuple(each for index, each in enumerate(value) if self._text_member(each, (*path, index), field))

    def _sub_table_member(self, member: Any, value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return self.table(member, value, path)
        self._report.add(path, f"is {_found(value)}, wanted a table")
        return self.table(member, {field.name: "" for field in fields(member) if field.default is MISSING}, path)

    def _text_member(self, value: Any, path: KeyPath, field: Field[Any]) -> bool:
        if not isinstance(value, str):
            self._report.add(path, f"is {_found(value)}, wanted text in quotes")
            return False
        return self._looks_right(value, path, field)

    def _mapping(self, hint: Any, value: Any, path: KeyPath, field: Field[Any]) -> Any:
        if not isinstance(value, dict):
            self._report.add(path, f"is {_found(value)}, wanted a table: [{path[-1]}] on a line of its own, its entries below")
            return {}
        if hint is str:
            return {key: each for key, each in value.items() if self._text_member(each, (*path, key), field)}
        found = {}
        for key, each in value.items():
            # One target may stand without its brackets: postmaster = "ana".
            members = each if isinstance(each, list) else [each]
            found[key] = tuple(
                member
                for index, member in enumerate(members)
                if self._text_member(member, (*path, key, index) if isinstance(each, list) else (*path, key), field)
            )
        return found


def _unknown(key: str, path: KeyPath, hint: str) -> str:
    if not hint and path and key in {field.name for field in fields(Config)}:
        hint = f"; {key} belongs to the top of the file, above the first [table]"
    if not hint and not path:
        tables = [field.name for field in fields(Config) if is_dataclass(field.type) and key in _names(field.type)]
        if tables:
            hint = "; it belongs into " + " or ".join(f"[{name}]" for name in tables[:4])
    return "unknown setting" + hint


def _names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def _found(value: Any) -> str:
    """Say what stands there, in words and short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= _MAX_SHOWN and value.isprintable() else "a text"
    if isinstance(value, int | float):
        text = str(value) if isinstance(value, float) or abs(value) < 2**63 else "a huge number"
        return f"the number {text}" if text[0] != "a" else text
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def _wrong_type(hint: Any, value: Any, path: KeyPath, *, secret: bool) -> str:
    found = "something that is no text" if secret else _found(value)
    if hint is bool:
        return f"is {found}, wanted true or false, without quotes"
    if hint is str:
        return f"is {found}, wanted text in quotes"
    return f"is {found}, wanted a whole number{_as_number(str(path[-1]), value)}"


def _as_number(key: str, value: Any) -> str:
    """Return the number that ``"50 MB"`` or ``"5m"`` would be, as a hint."""
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    units = _BYTE_UNITS if key.endswith("_bytes") else _TIME_UNITS if key.endswith("_s") else {"": 1}
    factor = units.get(match[2].lower()) if match else None
    return f": {key} = {int(match[1]) * factor:_}" if match and factor else ""


def _range(metadata: Mapping[str, Any]) -> str:
    return f"a number from {metadata['least']:_} to {metadata['most']:_}"
