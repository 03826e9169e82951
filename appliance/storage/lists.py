"""The two small lists beside an account's mail: ``subscriptions`` and ``special-use``.

``subscriptions`` is Dovecot's: one name per line in the format's own spelling;
version 2 (``V 2``, levels separated by tabs) is read too. ``special-use`` is
ours: attribute, tab, name per line, a line for each use. Both are written whole, by rename.

Sources: Dovecot's subscription file, RFC 6154.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from appliance.model.errors import InvalidNameError
from appliance.model.ids import MailboxName
from appliance.model.mailbox import SpecialUse
from appliance.storage.fileops import FileOps
from appliance.storage.layout import Layout
from appliance.storage.names import check_name, decode_utf7

__all__ = ["SpecialUseList", "SubscriptionList"]


class SubscriptionList:
    """Names that LSUB and LIST (SUBSCRIBED) tell, whether the mailboxes exist or not."""

    def __init__(self, ops: FileOps, root: bytes, layout: Layout) -> None:
        self._ops = ops
        self.path = root + b"/subscriptions"
        self._layout = layout

    def read(self) -> frozenset[MailboxName]:
        try:
            lines = self._ops.read_file(self.path).splitlines()
        except FileNotFoundError:
            return frozenset()
        found = set()
        with_tabs = bool(lines) and lines[0] == b"V\t2"
        for line in lines[1:] if with_tabs else lines:
            if line:
                with contextlib.suppress(ValueError, InvalidNameError):
                    text = decode_utf7(line.decode("ascii")).replace("\t", "/") if with_tabs else self._layout.decode(line)
                    found.add(check_name(text))
        return frozenset(found)

    def write(self, names: Iterable[MailboxName]) -> None:
        self._ops.replace_file(self.path, b"".join(sorted(self._layout.encode(name) + b"\n" for name in names)))


class SpecialUseList:
    """Which mailbox is for sent mail, drafts and so on; one may have several uses, and a use several mailboxes."""

    def __init__(self, ops: FileOps, root: bytes) -> None:
        self._ops = ops
        self._path = root + b"/special-use"

    def exists(self) -> bool:
        return self._ops.exists(self._path)

    def read(self) -> dict[MailboxName, tuple[SpecialUse, ...]]:
        try:
            lines = self._ops.read_file(self._path).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return {}
        found: dict[MailboxName, tuple[SpecialUse, ...]] = {}
        for line in lines:
            word, _, raw = line.partition("\t")
            with contextlib.suppress(ValueError, InvalidNameError):
                name, use = check_name(raw), SpecialUse(word)
                found[name] = (*(known for known in found.get(name, ()) if known is not use), use)
        return found

    def write(self, uses: Mapping[MailboxName, Sequence[SpecialUse]]) -> None:
        lines = sorted(f"{use.value}\t{name}\n" for name, several in uses.items() for use in several)
        self._ops.replace_file(self._path, "".join(lines).encode("utf-8"))
