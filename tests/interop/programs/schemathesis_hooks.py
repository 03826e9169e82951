"""What schemathesis cannot know: how a message is written."""

import importlib
from typing import Any

# There is none for 32-bit machines.
schemathesis: Any = importlib.import_module("schemathesis")


def message(_context: object, value: object) -> bytes:
    """Return a body that is sent as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schemathesis.serializer("message/rfc822")(message)
