"""``carteiro queue list|show|retry|hold|release|delete``: what waits, and what to do about it.

Owns the two ways to the queue: through the control socket while the server
runs, straight to the spool (under its lock) while it does not. Both give the
same entries, so that the output is the same.

Sources: mailq(1), postqueue(1), postsuper(1), sysexits(3).
"""

import argparse
import base64
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from appliance.app.configfile import EX_CONFIG, EX_OK, add_data_arguments, data_directory
from appliance.model.errors import ApplianceError, InUseError
from appliance.services.control.client import ControlClient, NotRunningError, RequestRefusedError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "List, show, retry, hold, release and delete queued mail."

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_UNAVAILABLE: Final = 69
EX_TEMPFAIL: Final = 75
EX_NOPERM: Final = 77

_ACTIONS: Final = {
    "retry": "try delivery now",
    "hold": "keep entries back until they are released",
    "release": "let held or corrupt entries go on",
    "delete": "remove entries for good; nobody is told",
}
_IDS_PER_REQUEST: Final = 1_000
_PAGE: Final = 500
_CHUNK: Final = 65_536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry|hold|release|delete")
    listing = actions.add_parser("list", help="list what waits, oldest first (mailq)")
    listing.add_argument("--limit", type=int, default=1_000_000, metavar="N", help="at most N entries")
    show = actions.add_parser("show", help="show one entry: envelope, recipients, header section")
    show.add_argument("id", help="the entry's queue id")
    show.add_argument("--content", action="store_true", help="print the whole message and nothing else")
    changes = [actions.add_parser(name, help=text) for name, text in _ACTIONS.items()]
    for each in (listing, *changes):
        each.add_argument("ids", nargs="*", metavar="ID", help="queue ids")
        each.add_argument("--from", dest="sender", metavar="ADDRESS", help="entries from this address; <> for notifications")
        each.add_argument("--to", dest="recipient", metavar="ADDRESS", help="entries to this address")
        each.add_argument("--domain", metavar="DOMAIN", help="entries with a recipient in this domain")
    for each in changes:
        each.add_argument("--all", action="store_true", help="every entry")
    for each in (listing, show, *changes):
        each.add_argument("--json", action="store_true", help="as JSON, one object per line")
        add_data_arguments(each)


def run(args: argparse.Namespace) -> int:
    """Do the action and return the exit code."""
    data = data_directory(args)
    if data is None:
        return EX_CONFIG
    try:
        with _open_backend(Path(data)) as backend:
            return _dispatch(args, backend)
    except _NoQueueError as error:
        return _complain(str(error), EX_UNAVAILABLE)
    except RequestRefusedError as error:
        return _complain(str(error), EX_DATAERR)
    except InUseError:
        return _complain(f"{data} is in use by a process that does not answer; is a server starting or stopping?", EX_TEMPFAIL)
    except ApplianceError as error:
        return _complain(f"{error.client_text}: {error.detail}", EX_UNAVAILABLE)
    except PermissionError as error:
        return _complain(f"{error.filename or data}: no permission; run this as root or as the server's user", EX_NOPERM)
    except OSError as error:
        return _complain(f"the connection to the server broke: {error}", EX_UNAVAILABLE)


def _complain(text: str, code: int) -> int:
    print(f"carteiro: {text}", file=sys.stderr)
    return code


def _dispatch(args: argparse.Namespace, backend: "_Backend") -> int:
    if args.action == "list":
        return _list(args, backend)
    if args.action == "show":
        return _show(args, backend)
    return _change(args, backend)


# The two ways to the queue


class _NoQueueError(Exception):
    """There is no queue in this place."""


class _Backend(Protocol):
    def __enter__(self) -> "_Backend": ...

    def __exit__(self, *exception: object) -> None: ...

    def items(self, criteria: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]: ...

    def show(self, queue_id: str, *, content: bool) -> tuple[dict[str, Any], Iterator[bytes]]: ...

    def change(self, action: str, criteria: dict[str, Any]) -> int: ...


class _Server:
    """Asks the running server."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def items(self, criteria: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        return self._client.items("queue.list", limit=limit, **criteria)

    def show(self, queue_id: str, *, content: bool) -> tuple[dict[str, Any], Iterator[bytes]]:
        answers = self._client.items("queue.show", id=queue_id, content=content)
        return next(answers), (base64.b64decode(one["data"]) for one in answers)

    def change(self, action: str, criteria: dict[str, Any]) -> int:
        ids = criteria.get("ids", [])
        total = 0
        for start in range(0, max(1, len(ids)), _IDS_PER_REQUEST):
            chunk = {**criteria, "ids": ids[start : start + _IDS_PER_REQUEST]}
            total += int(self._client.call("queue.change", action=action, **chunk)["changed"])
        return total


class _Direct:
    """Opens the spool itself; its lock keeps a server from starting meanwhile."""

    def __init__(self, directory: Path) -> None:
        from appliance.storage.spool import Spool  # SQLite, only needed while no server runs

        if not (directory / "spool.db").is_file():
            raise _NoQueueError(f"there is no queue in {directory}; -c FILE or --data DIR says where it is")
        self._spool = Spool(directory)

    def __enter__(self) -> "_Direct":
        self._spool.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self._spool.close()

    def items(self, criteria: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        from appliance.services.control.selection import Selection, item_to_json
        from appliance.services.queue.admin import item_of

        selection = Selection.from_arguments(criteria)
        after = None
        while limit > 0 and (messages := self._spool.messages(_PAGE, after)):
            for message in messages:
                item = item_of(message)
                if item is not None and limit > 0 and selection.matches(item):
                    limit -= 1
                    yield item_to_json(item)
            after = messages[-1].queue_id

    def show(self, queue_id: str, *, content: bool) -> tuple[dict[str, Any], Iterator[bytes]]:
        from appliance.services.control.selection import item_to_json
        from appliance.services.queue.admin import item_of, known_ids

        messages = self._spool.load(known_ids([queue_id]))
        item = item_of(messages[0]) if messages else None
        if item is None:
            raise RequestRefusedError(f"{queue_id} is not in the queue")
        return item_to_json(item), self._pieces(messages[0].queue_id, header_only=not content)

    def _pieces(self, queue_id: Any, *, header_only: bool) -> Iterator[bytes]:
        with self._spool.content(queue_id).open() as stream:
            while piece := stream.read(_CHUNK):
                end = piece.find(b"\r\n\r\n") if header_only else -1
                yield piece if end < 0 else piece[: end + 2]
                if header_only:
                    return

    def change(self, action: str, criteria: dict[str, Any]) -> int:
        from appliance.services.queue.admin import batch_for, known_ids

        ids = criteria.get("ids", [])
        is_by_id = ids and not any(criteria.get(name) is not None for name in ("from", "to", "domain"))
        chosen = known_ids(ids) if is_by_id else [item["id"] for item in self.items(criteria, sys.maxsize)]
        aside = self._spool.aside()
        total = 0
        for start in range(0, len(chosen), _PAGE):
            committed = self._spool.commit(batch_for(action, chosen[start : start + _PAGE], aside, time.time()))
            self._spool.remove_files(committed.files)
            total += len({*committed.gone, *committed.changed})
        return total


def _open_backend(data: Path) -> _Backend:
    try:
        return _Server(ControlClient(data / "control.sock"))
    except NotRunningError:
        return _Direct(data / "queue")


# Actions


def _criteria(args: argparse.Namespace) -> dict[str, Any]:
    found = {"ids": args.ids, "from": args.sender, "to": args.recipient, "domain": args.domain, "all": getattr(args, "all", False)}
    return {name: value for name, value in found.items() if value is not None}


def _list(args: argparse.Namespace, backend: _Backend) -> int:
    if args.limit < 1:
        return _complain("--limit must be above 0", EX_USAGE)
    count = size = 0
    for item in backend.items(_criteria(args), args.limit):
        count += 1
        size += item["size"]
        if args.json:
            print(json.dumps(item))
            continue
        if count == 1:
            print(f"{'ID':13} {'STATE':8} {'SIZE':>9} {'ARRIVED':16} SENDER")
        print("\n".join(_entry_lines(item)))
    if not args.json:
        print(f"{count} {'entry' if count == 1 else 'entries'}, {_size(size)}" if count else "The queue is empty.")
    return EX_OK


def _show(args: argparse.Namespace, backend: _Backend) -> int:
    item, pieces = backend.show(args.id, content=args.content)
    if args.content:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return EX_OK
    header = b"".join(pieces).decode("utf-8", "replace").replace("\r\n", "\n")
    if args.json:
        print(json.dumps({**item, "header": header}))
        return EX_OK
    print(f"id        {item['id']}\nstate     {item['state']}\nsender    <{item['from']}>")
    print(f"arrived   {_time(item['arrived_at_s'])}\nsize      {_size(item['size'])}")
    for one in item["recipients"]:
        print(f"recipient {_printable(one['address'])}")
        print(f"          {_fate(one)}")
    print()
    print(_printable(header, keep="\n\t"), end="")
    return EX_OK


def _change(args: argparse.Namespace, backend: _Backend) -> int:
    criteria = _criteria(args)
    if not (criteria.get("ids") or criteria.get("all") or any(name in criteria for name in ("from", "to", "domain"))):
        return _complain("say which entries: IDs, --from, --to, --domain or --all", EX_USAGE)
    changed = backend.change(args.action, criteria)
    if args.json:
        print(json.dumps({"changed": changed}))
    else:
        done = {"retry": "due now", "hold": "on hold", "release": "released", "delete": "deleted"}[args.action]
        print(f"{changed} {'entry' if changed == 1 else 'entries'} {done}")
    return EX_OK if changed or args.all else EX_DATAERR


# Words


def _entry_lines(item: dict[str, Any]) -> list[str]:
    sender = _printable(item["from"]) or "<>"
    lines = [f"{item['id']} {item['state']:8} {_size(item['size']):>9} {_time(item['arrived_at_s'])} {sender}"]
    for one in item["recipients"]:
        lines.append(f"    {_printable(one['address'])}")
        if one["state"] != "active" and (one["reason"] or one["attempts"]):
            lines.append(f"        ({_fate(one)})")
    return lines


def _fate(one: dict[str, Any]) -> str:
    words = one["state"]
    if one["attempts"]:
        words += f", {one['attempts']} {'try' if one['attempts'] == 1 else 'tries'}"
    if one["state"] == "deferred":
        words += f", next {_time(one['next_attempt_s'])}"
    return f"{words}: {_printable(one['reason'])}" if one["reason"] else words


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _size(count: int) -> str:
    value, units = float(count), ("B", "KiB", "MiB", "GiB")
    for unit in units:
        if value < 1024 or unit == units[-1]:
            break
        value /= 1024
    return f"{count} B" if count < 1024 else f"{value:.1f} {unit}"


def _printable(text: str, keep: Sequence[str] | str = "") -> str:
    """Return text that cannot move the terminal's cursor, whatever a sender put into it."""
    return "".join(one if one.isprintable() or one in keep else "?" for one in text)
