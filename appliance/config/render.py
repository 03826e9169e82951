"""From the schema to text: the commented sample file, and the settings in effect.

Owns the look of both. The sample is made of the schema's own sentences, so it
cannot say anything that is not so; a test compares it with ``sample.toml``.

Fails: never. Does not: show a secret; each is ``(hidden)`` where one is set.
"""

import textwrap
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from appliance.config.effective import folder_names
from appliance.config.schema import Config
from appliance.model.mailbox import SpecialUse

__all__ = ["HIDDEN", "sample", "show", "toml_value"]

HIDDEN = "(hidden)"
_WIDTH = 100
_HEAD = """\
Settings of Carteiro. A domain and one user are enough; everything else then is as shown here.
A line such as "# port = 25" shows a default: take the # away and change it.
`carteiro check` says what is wrong with this file, `carteiro config show` what is in effect,
`carteiro user` and `carteiro alias` edit it and keep your comments.
"""
_ACTIVE = {("domain",), ("users", "name"), ("users", "password")}


def sample() -> str:
    """Return ``sample.toml``: every key with its default and its sentence."""
    lines = [*_comment(_HEAD), ""]
    hints = typing.get_type_hints(Config)
    tables = [field for field in fields(Config) if _is_table(hints[field.name])]
    for field in fields(Config):
        if field not in tables:
            lines += [*_key_lines(field, hints[field.name], ()), ""]
    for field in tables:
        lines += [*_table_lines(field, hints[field.name]), ""]
    return "\n".join(lines)


def _is_table(hint: Any) -> bool:
    return is_dataclass(hint) or typing.get_origin(hint) is Mapping or _member_kind(hint) is not None


def _member_kind(hint: Any) -> type[Any] | None:
    """Return the dataclass of a list of tables."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and isinstance(arguments[0], type) and is_dataclass(arguments[0]):
        return arguments[0]
    return None


def _table_lines(field: "Field[Any]", hint: Any) -> list[str]:
    lines = _comment(field.metadata["doc"])
    if typing.get_origin(hint) is Mapping:
        return [*lines, f"[{field.name}]", f"# {field.metadata['example']}"]
    member = _member_kind(hint)
    kind = member or hint
    inner = typing.get_type_hints(kind)
    header = f"[[{field.name}]]" if member else f"[{field.name}]"
    # A list of tables that nobody must have stands there as a comment as a whole.
    lines.append(f"# {header}" if member and field.name != "users" else header)
    for each in fields(kind):
        lines += _key_lines(each, inner[each.name], (field.name,))
    return lines


def _key_lines(field: "Field[Any]", hint: Any, path: tuple[str, ...]) -> list[str]:
    example = field.metadata.get("example", "")
    value = example if example and field.default in {MISSING, ""} else toml_value(_default(field))
    mark = "" if (*path, field.name) in _ACTIVE else "# "
    return [*_comment(_sentence(field, hint)), f"{mark}{field.name} = {value}"]


def _sentence(field: "Field[Any]", hint: Any) -> str:
    doc = str(field.metadata["doc"])
    choices = [f'"{choice}"' for choice in typing.get_args(hint) if choice] if typing.get_origin(hint) is typing.Literal else []
    missing = [choice for choice in choices if choice.strip('"') not in doc]
    return f"{doc} One of {', '.join(choices)}." if missing else doc


def _default(field: "Field[Any]") -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _comment(text: str) -> list[str]:
    return [f"# {line}" for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)]


def toml_value(value: str | int | bool | tuple[str, ...] | list[str]) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # A thousands mark for numbers that people must read.
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, str):
        return _toml_text(value)
    return f"[{', '.join(map(_toml_text, value))}]"


def _toml_text(text: str) -> str:
    # JSON's escapes are TOML's as well, but for DEL; json is loaded only by commands that write.
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def show(config: Config) -> str:
    """Return the settings in effect as TOML: defaults, host name and folder names filled in, secrets hidden."""
    # Only `config show` writes whole files.
    import tomli_w

    plain = _plain(config)
    plain["hostname"] = config.effective_hostname
    plain["origin"] = config.effective_origin
    plain["postmaster"] = config.postmaster or (config.users[0].name if config.users else "")
    names = folder_names(config.mail)
    for use in (SpecialUse.SENT, SpecialUse.DRAFTS, SpecialUse.TRASH, SpecialUse.JUNK, SpecialUse.ARCHIVE):
        plain["mail"][use.value.lower()] = names[use]
    return tomli_w.dumps(plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            field.name: HIDDEN if field.metadata.get("secret") and getattr(value, field.name) else _plain(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
