"""A strict reader of what servers say in parentheses: lists, quoted strings, literals, numbers, atoms.

Used to judge ENVELOPE, BODY and BODYSTRUCTURE. Fails: AssertionError with the place.

Sources: RFC 3501 section 9.
"""

import re

__all__ = ["Value", "check_body", "check_envelope", "read_value"]

Value = bytes | int | None | list["Value"]

_TOKEN = re.compile(
    rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"|\{(0|[1-9][0-9]*)\}\r\n|(NIL)|(0|[1-9][0-9]*)(?=[ )])|([()])| '
)


def read_value(data: bytes) -> Value:
    """Return the one value that ``data`` is. Raises AssertionError."""
    stack: list[list[Value]] = [[]]
    position = 0
    expects_space = False
    while position < len(data):
        match = _TOKEN.match(data, position)
        assert match is not None, f"at {position}: {data[position : position + 30]!r}"
        position = match.end()
        if match[0] == b" ":
            assert expects_space, f"space at {position}"
            expects_space = False
            continue
        if match[5] == b")":
            closed = stack.pop()
            assert stack, "one parenthesis too many"
            stack[-1].append(closed)
        elif match[5] == b"(":
            stack.append([])
            expects_space = False
            continue
        elif match[2] is not None:
            length = int(match[2])
            value = data[position : position + length]
            assert length == len(value)
            assert b"\0" not in value
            stack[-1].append(value)
            position += length
        elif match[3] is not None:
            stack[-1].append(None)
        elif match[4] is not None:
            stack[-1].append(int(match[4]))
        else:
            stack[-1].append(match[1])
        expects_space = True
    assert len(stack) == 1, "not all parentheses are closed"
    assert len(stack[0]) == 1, "not one value"
    return stack[0][0]


def _is_text(value: Value, *, nil: bool = True) -> bool:
    return isinstance(value, bytes) or (nil and value is None)


def check_envelope(value: Value) -> None:
    """Say whether this is an ENVELOPE: ten members, six of them address lists."""
    assert isinstance(value, list)
    assert len(value) == 10
    assert all(_is_text(value[at]) for at in (0, 1, 8, 9))
    for addresses in value[2:8]:
        assert addresses is None or (isinstance(addresses, list) and addresses)
        for address in addresses or ():
            assert isinstance(address, list)
            assert len(address) == 4
            assert all(map(_is_text, address))


def _check_parameters(value: Value) -> None:
    assert value is None or (isinstance(value, list) and value and not len(value) % 2 and all(_is_text(one, nil=False) for one in value))


def check_body(value: Value, *, extended: bool) -> None:
    """Say whether this is a BODYSTRUCTURE, or a BODY where not ``extended``."""
    assert isinstance(value, list)
    assert value
    if isinstance(value[0], list):
        parts = [part for part in value if isinstance(part, list)]
        count = next(at for at, part in enumerate(value) if not isinstance(part, list))
        assert count <= len(parts)
        for part in value[:count]:
            check_body(part, extended=extended)
        assert _is_text(value[count], nil=False)
        rest = value[count + 1 :]
        assert len(rest) == (4 if extended else 0)
        if extended:
            _check_parameters(rest[0])
            _check_extension(rest[1:])
        return
    kind, subtype, parameters, content_id, description, encoding, size, *rest = value
    assert isinstance(kind, bytes)
    assert isinstance(subtype, bytes)
    assert kind.lower() != b"multipart"
    _check_parameters(parameters)
    assert _is_text(content_id)
    assert _is_text(description)
    assert _is_text(encoding, nil=False)
    assert isinstance(size, int)
    if kind.lower() == b"message" and subtype.lower() in {b"rfc822", b"global"}:
        if rest[0] is not None:
            check_envelope(rest[0])
        check_body(rest[1], extended=extended)
        rest = rest[2:]
        assert isinstance(rest.pop(0), int)
    elif kind.lower() == b"text":
        assert isinstance(rest.pop(0), int)
    assert len(rest) == (4 if extended else 0)
    if extended:
        assert _is_text(rest[0])
        _check_extension(rest[1:])


def _check_extension(rest: list[Value]) -> None:
    disposition, language, location = rest
    if disposition is not None:
        assert isinstance(disposition, list)
        assert _is_text(disposition[0], nil=False)
        _check_parameters(disposition[1])
        assert len(disposition) == 2
    assert _is_text(language) or (isinstance(language, list) and language and all(_is_text(tag, nil=False) for tag in language))
    assert _is_text(location)
