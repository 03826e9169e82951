"""Request bodies, read as the programs read them whose clients must not notice a difference.

Their decoder takes field names in any case, leaves unknown fields and whatever
follows the first value aside, takes null for nothing, and says exactly which
field is of the wrong kind. A client that sends ``{"ids": [...]}`` means what it says.

Fails: BodyError with their words.
Sources: RFC 8259; the recordings of Mailpit and MailHog that the tests replay; Go's encoding/json, as documented.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BodyError", "Shape", "read_body"]

Shape = Mapping[str, Any]
"""Names and kinds, in the order that errors list them: ``str``, ``bool``, ``int``, ``float``, ``dict`` (texts by name), ``[kind]``, or a shape."""

_NAMES: Final[Mapping[Any, str]] = {str: "string", bool: "bool", int: "int", float: "float64", dict: "map[string]string"}


class BodyError(ValueError):
    """What is wrong with a body."""


def read_body(body: bytes, shape: Shape) -> dict[str, Any]:
    """Return the fields of a JSON object that ``shape`` knows and the body has, by the shape's names. Raises BodyError."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_constant).raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise BodyError(_problem(text, error)) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BodyError(f"json: cannot unmarshal {_kind(value)} into Go value of type {_type(shape)}")
    return _fields(value, shape, ())


def _fields(value: dict[str, Any], shape: Shape, path: tuple[str, ...]) -> dict[str, Any]:
    names = {name.lower(): name for name in shape}
    found: dict[str, Any] = {}
    for given, one in value.items():
        name = names.get(given.lower())
        if name is not None and one is not None:
            found[name] = _checked(one, shape[name], (*path, name))
    return found


def _checked(value: Any, kind: Any, path: tuple[str, ...]) -> Any:
    """Return a value of the kind. Raises BodyError."""
    if isinstance(kind, list):
        if isinstance(value, list):
            return [_checked(one, kind[0], path) for one in value if one is not None]
    elif isinstance(kind, Mapping):
        if isinstance(value, dict):
            return _fields(value, kind, path)
    elif kind is dict:
        if isinstance(value, dict):
            return {name: _checked(one, str, path) for name, one in value.items()}
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise BodyError(f"json: cannot unmarshal {_kind(value)} into Go struct field .{'.'.join(path)} of type {_type(kind)}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return f"number {value:g}"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "number"


def _type(kind: Any) -> str:
    if isinstance(kind, list):
        return f"[]{_type(kind[0])}"
    if isinstance(kind, Mapping):
        return "struct { " + "; ".join([f"{name} {_type(one)}" for name, one in kind.items()]) + " }"
    return _NAMES[kind]


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError("Expecting value", name, 0)


def _problem(text: str, error: Exception) -> str:
    """Return what those programs say of a body that is no JSON. ``error``: what reading it raised."""
    if not text:
        return "EOF"
    if not isinstance(error, json.JSONDecodeError):
        return "exceeded max depth"
    at = error.pos if error.doc == text else text.find(error.doc)
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    where = {
        "Expecting property name": "looking for beginning of object key string",
        "Illegal trailing comma before end of object": "looking for beginning of object key string",
        "Expecting ':'": "after object key",
        "Expecting ',' delimiter": "after array element" if _inside(text[:at]) == "[" else "after object key:value pair",
        "Invalid control character": "in string literal",
        "Invalid \\": "in string escape code",
    }
    said = next((words for start, words in where.items() if error.msg.startswith(start)), "looking for beginning of value")
    return f"invalid character {_quoted(text[at])} {said}"


def _inside(text: str) -> str:
    """Return what the last bracket was that is open at the end of a beginning of JSON."""
    opened: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            opened.append(character)
        elif character in "]}" and opened:
            opened.pop()
    return opened[-1] if opened else ""


def _quoted(character: str) -> str:
    known = {"\n": "'\\n'", "\r": "'\\r'", "\t": "'\\t'", "'": "'\\''", "\\": "'\\\\'"}
    return known.get(character) or f"'{character}'"
