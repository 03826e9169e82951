"""Which queue entries a command is about, and how an entry is told in JSON. Pure.

Sources: Postfix postqueue -j, exiqgrep(8).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from appliance.model.ids import QueueId
from appliance.model.ports import QueueItem

__all__ = ["Selection", "item_to_json"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Entries that fit every criterion given. Addresses and domains ignore case; ``<>`` or ``""`` is the null reverse-path."""

    ids: tuple[QueueId, ...] = ()
    sender: str | None = None
    recipient: str | None = None
    domain: str | None = None
    is_all: bool = False

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "Selection":
        """Return the selection of a request: ``ids``, ``from``, ``to``, ``domain``, ``all``. Raises ValueError."""
        ids = arguments.get("ids", [])
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError("ids must be a list of texts")
        texts = [arguments.get(name) for name in ("from", "to", "domain")]
        if not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError("from, to and domain must be texts")
        sender, recipient, domain = (None if text is None else text.strip().lower() for text in texts)
        if sender == "<>":
            sender = ""
        if domain is not None:
            domain = domain.lstrip("@")
        return cls(tuple(QueueId(one.strip().upper()) for one in ids), sender, recipient, domain, bool(arguments.get("all", False)))

    @property
    def is_filter(self) -> bool:
        return self.sender is not None or self.recipient is not None or self.domain is not None or bool(self.ids)

    @property
    def is_empty(self) -> bool:
        return not self.is_filter and not self.is_all

    @property
    def needs_items(self) -> bool:
        """True unless the ids alone say it all."""
        return self.sender is not None or self.recipient is not None or self.domain is not None or not self.ids

    def matches(self, item: QueueItem) -> bool:
        """True if the entry is selected; a selection without criteria selects all."""
        addresses = [one.address.lower() for one in item.recipients]
        return (
            (not self.ids or item.queue_id in self.ids)
            and (self.sender is None or item.reverse_path.lower() == self.sender)
            and (self.recipient is None or self.recipient in addresses)
            and (self.domain is None or any(address.rpartition("@")[2] == self.domain for address in addresses))
        )


def item_to_json(item: QueueItem) -> dict[str, Any]:
    """Return an entry as the control socket and ``--json`` tell it."""
    return {
        "id": item.queue_id,
        "state": item.state,
        "from": item.reverse_path,
        "size": item.size,
        "arrived_at_s": item.arrived_at_s,
        "recipients": [asdict(one) for one in item.recipients],
    }
