"""Run the suites over the servers that are here, and print who does what at which cost."""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import suites, targets, verdicts
from .suites import Options, Record

OURS = "carteiro"
SUITES = suites.SUITES | verdicts.SUITES
TARGETS = targets.TARGETS | verdicts.TARGETS
NOISY = 0.3


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Carteiro beside Postfix and Dovecot, in one run.")
    parser.add_argument("--suites", default=",".join(SUITES), help="of %(default)s")
    parser.add_argument("--targets", default="", help=f"of {','.join(TARGETS)}; default: those that can run here")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of messages")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each kind; the median is shown")
    parser.add_argument("--no-pipelining", action="store_true", help="wait for the reply to each command")
    parser.add_argument("--work", type=Path, help="directory on the disk to be measured (default: a fresh one in /var/tmp)")
    parser.add_argument("--json", action="store_true", help="a JSON object per measurement in place of the table")
    return parser.parse_args(words)


def _median(records: Sequence[Record]) -> Record:
    ordered = sorted(records, key=lambda record: record.value)
    middle = ordered[len(ordered) // 2]
    middle.cpu_ms = statistics.median(record.cpu_ms for record in records)
    middle.noise = max(record.noise for record in records)
    return middle


def _table(records: Sequence[Record]) -> str:
    """Return Markdown: a line per test, a ratio per peer; above 1 is in favour of carteiro."""
    found: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        found.setdefault(record.test, {}).setdefault(record.target, []).append(record)
    lines = [
        "| test | target | value | unit | CPU ms | carteiro is | with CPU | noise |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for test, by_target in found.items():
        medians = {target: _median(each) for target, each in by_target.items()}
        ours = next((record for target, record in medians.items() if target.startswith(OURS)), None)
        for target, record in medians.items():
            ratio = cpu = ""
            if ours is not None and record is not ours:
                better = ours.value / record.value if record.unit.endswith("/s") else record.value / max(ours.value, 1e-6)
                ratio = f"{better:.2f} x"
                cpu = f"{record.cpu_ms / ours.cpu_ms:.2f} x" if ours.cpu_ms > 0 else ""
            lines.append(
                f"| {test} | {target} | {record.value:.1f} | {record.unit} | {record.cpu_ms:.2f} | {ratio} | {cpu} | {record.noise:.2f} |"
            )
    return "\n".join(lines)


def _notes(records: Sequence[Record], accounting: str, *, pipelining: bool) -> str:
    noise = max((record.noise for record in records), default=0.0)
    pipelined = sorted({record.target for record in records if record.details.get("pipelined")})
    notes = [
        f"CPU by {accounting}, of all processes of a target; {os.cpu_count()} CPUs.",
        f"Pipelined by the load generator: {', '.join(pipelined) or 'nobody'}"
        + ("." if pipelining else " (switched off)."),
        "`carteiro is`: rate against rate, or time against time; `with CPU`: the peer's CPU over ours. Above 1 is in our favour.",
        f"Noise: CPUs that other programs used meanwhile; at most {noise:.2f}"
        + (f": above {NOISY} these figures say little." if noise > NOISY else "."),
    ]  # fmt: skip
    return "\n".join(f"- {note}" for note in notes)


def _run(arguments: argparse.Namespace, work: Path) -> int:
    wanted = arguments.targets.split(",") if arguments.targets else list(TARGETS)
    options = Options(arguments.scale, arguments.repeats, not arguments.no_pipelining)
    records: list[Record] = []
    accounting = ""
    for name in wanted:
        if reason := TARGETS[name].why_not():
            print(f"{name} is left out: {reason}", file=sys.stderr)
            continue
        for suite in arguments.suites.split(","):
            if suite not in TARGETS[name].services:
                continue
            # A fresh server for each suite: no mailbox, cache or queue of the one before.
            target = TARGETS[name](work)
            try:
                target.start()
                accounting = target.group.accounting
                for record in SUITES[suite](target, options):
                    records.append(record)
                    line = (
                        json.dumps(record.as_json())
                        if arguments.json
                        else f"{record.target} {record.test}: {record.value:.1f} {record.unit}"
                    )
                    print(line, file=sys.stdout if arguments.json else sys.stderr, flush=True)
            finally:
                target.stop()
    if not arguments.json:
        print(_table(records) + "\n\n" + _notes(records, accounting, pipelining=options.pipelining))
    return 0 if records else 1


def main(words: Sequence[str] | None = None) -> int:
    """Measure; return the exit code."""
    arguments = _arguments(words)
    base = Path("/var/tmp")
    work = arguments.work or Path(tempfile.mkdtemp(prefix="carteiro-bench-", dir=base if base.is_dir() else None))
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)  # Postfix' own user must get through.
    try:
        return _run(arguments, work)
    finally:
        verdicts.leave_private_network()
        if not arguments.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
