"""``carteiro expect``: asserts that a mail was caught, and prints what is wanted of it; for any shell and any CI.

Exit codes: 0 it came, 1 it did not, 69 no catcher answers, 64 the options are wrong (sysexits).
"""

import argparse
import http.client
import json
import re
import sys
import time
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Wait until a mail was caught by `carteiro dev`; print its code, a link, or what a pattern finds."

EX_USAGE: Final = 64
EX_UNAVAILABLE: Final = 69
_PIECE_S: Final = 30.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="ADDRESS", help="a recipient, in the header or in the envelope")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="the sender")
    parser.add_argument("--subject", metavar="TEXT", help="part of the subject")
    parser.add_argument("--query", metavar="TERMS", default="", help="further search terms, as the page has them")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="so many messages at least (default: 1)")
    parser.add_argument("--none", action="store_true", help="assert that no such message comes within the time")
    parser.add_argument("--within", type=_seconds, default=10.0, metavar="TIME", help="how long to wait: 500ms, 10s, 2m (default: 10s)")
    parser.add_argument(
        "--extract", metavar="WHAT", help="print code, link, id, text, json, or what a regular expression finds (its first group)"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8025", help="where the catcher's page is (default: %(default)s)")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no time: 500ms, 10s, 2m")
    return float(found[1]) * _UNITS[found[2] or "s"]


def query_of(args: argparse.Namespace) -> str:
    """Return the search that the options amount to."""
    terms = [f'{key}:"{value}"' for key, value in (("from", args.sender), ("subject", args.subject)) if value]
    if args.to:
        terms.append(f'recipient:"{args.to}"')
    return " ".join([*terms, args.query]).strip()


def extracted(what: str, message: dict[str, Any]) -> str | None:
    """Return what is wanted of a message, None when it has none."""
    if what in ("code", "link"):
        found = message["codes" if what == "code" else "links"]
        return str(found[0]) if found else None
    if what in ("id", "text"):
        return str(message[what])
    if what == "json":
        return json.dumps(message, ensure_ascii=False)
    match = re.search(what, message["text"]) or re.search(what, message["html"]) or re.search(what, message["subject"])
    return None if match is None else (match[1] if match.re.groups else match[0])


def _ask(url: str, query: str, count: int, timeout_s: float) -> tuple[int, list[dict[str, Any]]]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout_s + 15)
    try:
        words = urlencode({"query": query, "count": count, "timeout": timeout_s})
        connection.request("GET", f"{parts.path.rstrip('/')}/api/carteiro/v1/wait?{words}", headers={"user-agent": "carteiro-expect"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        return answer.status, found.get("messages", [])
    finally:
        connection.close()


def run(args: argparse.Namespace) -> int:
    """Wait, judge, print."""
    query, deadline = query_of(args), time.monotonic() + args.within
    if args.extract and args.extract not in ("code", "link", "id", "text", "json"):
        try:
            re.compile(args.extract)
        except re.error as error:
            print(f"carteiro: --extract {args.extract}: {error}", file=sys.stderr)
            return EX_USAGE
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            status, messages = _ask(args.url, query, args.count, min(left, _PIECE_S))
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"carteiro: no catcher answers at {args.url}: {error} (is `carteiro dev` running?)", file=sys.stderr)
            return EX_UNAVAILABLE
        if status == 200 or deadline - time.monotonic() <= 0:
            break
    return _judge(args, status == 200, messages, query)


def _judge(args: argparse.Namespace, came: bool, messages: list[dict[str, Any]], query: str) -> int:
    if args.none:
        if came:
            print(f"carteiro: {len(messages)} came that should not: {messages[0]['subject']}", file=sys.stderr)
        return int(came)
    if not came:
        print(f"carteiro: {len(messages)} of {args.count} came for: {query or 'any message'}", file=sys.stderr)
        return 1
    if not args.extract:
        return 0
    found = [extracted(args.extract, message) for message in messages]
    for one in found:
        if one is not None:
            print(one)
    if None in found:
        print(f"carteiro: the message has no {args.extract}", file=sys.stderr)
    return int(None in found)
