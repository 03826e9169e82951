"""``carteiro status``: is the server there, since when, what waits, how far the text index is.

Asks the control socket of the running server.

Sources: systemctl(1) for the form, sysexits(3).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from appliance.app.configfile import EX_CONFIG, EX_OK, add_data_arguments, data_directory
from appliance.services.control.client import ControlClient, NotRunningError, RequestRefusedError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Say whether the server runs, what waits in its queue and how far the text index is."

EX_UNAVAILABLE: Final = 69
EX_NOPERM: Final = 77
_STATES: Final = {"whole": "up to date", "filling": "being filled", "full": "at its limit; the rest is searched in the mail itself"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the state; the exit code is 0 when the server runs."""
    data = data_directory(args)
    if data is None:
        return EX_CONFIG
    try:
        with ControlClient(Path(data) / "control.sock") as client:
            state = client.call("status")
    except NotRunningError:
        return _complain("no server runs here", EX_UNAVAILABLE)
    except RequestRefusedError as error:
        return _complain(str(error), EX_UNAVAILABLE)
    except PermissionError as error:
        return _complain(f"{error.strerror}: {data}/control.sock; ask as root or as the server's user", EX_NOPERM)
    print(json.dumps(state) if args.json else "\n".join(_lines(state)))
    return EX_OK


def _complain(text: str, code: int) -> int:
    print(f"carteiro status: {text}", file=sys.stderr)
    return code


def _lines(state: dict[str, Any]) -> list[str]:
    waiting = {name: count for name, count in state["queue"].items() if count}
    lines = [
        f"carteiro {state['version']}, running for {_duration(state['uptime_s'])}",
        "queue: " + (", ".join(f"{count} {name}" for name, count in waiting.items()) or "empty"),
    ]
    index = state.get("text_index")
    if index is None:
        return [*lines, "text index: off ([imap] full_text)"]
    for one in index:
        percent = 100 if not one["messages"] else 100 * one["indexed"] // one["messages"]
        lines.append(
            f"text index of {one['account']}, {_duration(one['looked_ago_s'])} ago: {one['indexed']} of {one['messages']} messages ({percent} %), "
            f"{one['kept_bytes'] / 1_048_576:.1f} MiB, {_STATES[one['state']]}"
        )
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
