"""``carteiro trace ADDRESS|MESSAGE-ID|QUEUE-ID|SUBJECT-WORDS``: where is my mail?

Owns the two ways to the journal: through the control socket while the server
runs, which has written down the last second then, and straight to the files
otherwise. The first line of each message is the answer.

Fails: nothing known exits 1 with a sentence.
Sources: sysexits(3).
"""

import argparse
import json
import sys
import time
from pathlib import Path

from appliance.app.configfile import EX_CONFIG, EX_OK, add_data_arguments, data_directory
from appliance.app.tracing import find_stories, story_to_json
from appliance.model.errors import ApplianceError
from appliance.observe.trace import TraceEvent
from appliance.observe.tracetext import TRACE_TEXTS, Story, answer, headline, timeline
from appliance.services.control.client import ControlClient, NotRunningError, RequestRefusedError

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Say where a message is and what happened to it."

EX_NOTHING = 1
EX_UNAVAILABLE = 69
EX_NOPERM = 77
_DAY_S = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="+", metavar="WORD", help="an address, a Message-ID, a queue id, or words of the subject")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="at most N messages, the newest (10)")
    parser.add_argument("--language", choices=sorted(TRACE_TEXTS), default="en", help="en or pt")
    parser.add_argument("--json", action="store_true", help="one object per message")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is known and return the exit code."""
    data = data_directory(args)
    if data is None:
        return EX_CONFIG
    query = " ".join(args.query)
    try:
        found = _find(Path(data), query, max(1, args.limit))
    except PermissionError as error:
        return _complain(f"{error.filename or data}: no permission; run this as root or as the server's user", EX_NOPERM)
    except (ApplianceError, RequestRefusedError, OSError) as error:
        return _complain(error.detail if isinstance(error, ApplianceError) else str(error), EX_UNAVAILABLE)
    if args.json:
        for story in found:
            print(json.dumps({"answer": answer(story, args.language, _when), **story_to_json(story)}, ensure_ascii=False))
    elif found:
        print("\n".join(line for story in found for line in _told(story, args.language)).rstrip("\n"))
    else:
        print(TRACE_TEXTS[args.language]["none"].format(query=query, days=30))
    return EX_OK if found else EX_NOTHING


def _complain(text: str, code: int) -> int:
    print(f"carteiro: {text}", file=sys.stderr)
    return code


def _find(data: Path, query: str, limit: int) -> list[Story]:
    try:
        client = ControlClient(data / "control.sock")
    except NotRunningError:
        return find_stories(data / "trace", query, limit)
    with client:
        return [_story(item) for item in client.items("trace", query=query, limit=limit)]


def _story(item: dict[str, object]) -> Story:
    events = item["events"]
    assert isinstance(events, list)
    made = [
        TraceEvent(one["at"], one["queue_id"], one["kind"], {name: value for name, value in one.items() if isinstance(value, str)})
        for one in events
    ]
    return Story(str(item["queue_id"]), tuple(made))


def _told(story: Story, language: str) -> list[str]:
    lines = [answer(story, language, _when)]
    if story.queue_id:
        lines.append(f"  {headline(story, language)}")
    return [*lines, *(f"  {_when(at_s)}  {text}" for at_s, text in timeline(story, language)), ""]


def _when(at_s: float) -> str:
    """Write a moment in this machine's time: the time of day, with the date when it is not today's."""
    moment, today = time.localtime(at_s), time.localtime()
    return time.strftime("%H:%M:%S" if moment[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", moment)
