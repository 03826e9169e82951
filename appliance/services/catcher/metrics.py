"""The catcher's numbers under the names that Mailpit's monitors know.

Sources: Prometheus text format 0.0.4; Mailpit's metrics, as recorded.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["metrics_text"]

_HELP: Final[Mapping[str, str]] = MappingProxyType(
    {
        "database_size_bytes": "Size of the database in bytes",
        "memory_usage_bytes": "Memory usage in bytes",
        "messages": "Total number of messages in the database",
        "messages_deleted_total": "Total number of messages deleted",
        "messages_unread": "Number of unread messages in the database",
        "smtp_accepted_size_bytes_total": "Total size of accepted SMTP messages in bytes",
        "smtp_accepted_total": "Total number of SMTP messages accepted",
        "smtp_ignored_total": "Total number of SMTP messages ignored (duplicates)",
        "smtp_rejected_total": "Total number of SMTP messages rejected",
        "tag_messages": "Number of messages per tag",
        "uptime_seconds": "Uptime of Mailpit in seconds",
    }
)


def metrics_text(values: Mapping[str, float], tags: Mapping[str, int]) -> str:
    """Return the metrics; ``values`` by name without prefix."""
    lines: list[str] = []
    for name, text in _HELP.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP mailpit_{name} {text}", f"# TYPE mailpit_{name} {kind}"]
        if name == "tag_messages":
            lines += [f'mailpit_{name}{{tag="{tag}"}} {count}' for tag, count in sorted(tags.items())]
        else:
            lines.append(f"mailpit_{name} {_number(values[name])}")
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    """Return a number as Go prints it: large ones with an exponent."""
    if value < 1e6 and value == int(value):
        return str(int(value))
    text = repr(float(value)) if abs(value) < 1e6 else f"{value:.9e}"
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent[0]}{exponent[1:].zfill(2)}"
