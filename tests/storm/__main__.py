"""``python -m tests.storm``: many IMAP clients at once over both mail stores, checked word for word.

    python -m tests.storm [--minutes M] [--seed S] [--sessions N] [--format maildir|mbox|both] [--inline]

Without a seed each storm is another one; the seed of each is printed.
"""

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import trio

from tests.storm.run import Plan, storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description="Many IMAP clients at once, checked word for word.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on, for all formats together")
    parser.add_argument("--seed", type=int, default=None, help="play this storm, once for each format")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--commands", type=int, default=30)
    parser.add_argument("--format", choices=["maildir", "mbox", "both"], default="both")
    parser.add_argument("--inline", action="store_true", help="one thread for everything")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60
    total: Counter[str] = Counter()
    failed = storms = 0
    while not storms or (arguments.seed is None and time.monotonic() < end):
        seed = secrets.randbelow(1 << 32) if arguments.seed is None else arguments.seed
        for mail_format in ("maildir", "mbox") if arguments.format == "both" else (arguments.format,):
            plan = Plan(mail_format, seed, arguments.sessions, arguments.rounds, arguments.commands, threads=not arguments.inline)
            storms += 1
            try:
                with tempfile.TemporaryDirectory() as directory:
                    total += trio.run(storm, Path(directory), plan)
            except Exception:  # noqa: BLE001 - told, and the next storm is played
                failed += 1
                print(f"FAILED {mail_format} seed {seed}", flush=True)
                traceback.print_exc()
    print(f"{storms} storms, {failed} failed, {sum(total.values())} steps: {dict(sorted(total.items()))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
