"""``carteiro help TOPIC``: the manual that is inside the executable."""

import argparse
import difflib
import sys
from importlib import resources

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Read the manual. Without a topic: what there is to read."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("topic", nargs="?", default="", help="one of the topics")


def _topics() -> dict[str, tuple[str, str]]:
    """Return topic -> (first line without its mark, text)."""
    found = {}
    for entry in sorted(resources.files("appliance").joinpath("doc").iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".md"):
            text = entry.read_text(encoding="utf-8")
            found[entry.name.removesuffix(".md")] = (text.partition("\n")[0].lstrip("# "), text)
    return found


def run(args: argparse.Namespace) -> int:
    """Print the topic; exit 64 when there is none of that name."""
    topics = _topics()
    if not args.topic:
        width = max(map(len, topics), default=0)
        print("\n".join(f"{name.ljust(width)}  {title}" for name, (title, _) in topics.items()))
        return 0
    if args.topic not in topics:
        near = difflib.get_close_matches(args.topic, topics, 1)
        print(f"carteiro: no topic {args.topic!r}" + (f"; did you mean {near[0]}?" if near else "; see: carteiro help"), file=sys.stderr)
        return 64
    print(topics[args.topic][1])
    return 0
