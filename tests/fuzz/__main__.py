"""``python -m tests.fuzz``: fuzz every parser, or some, and keep what fails.

    python -m tests.fuzz [--target NAME]... [--inputs N] [--seed S] [--minutes M] [--keep DIRECTORY] [--list]

Without a seed each run is another one; the seed is printed. ``--growth-bytes`` is the smaller size of the
two that the judgement of time compares, ``--shapes`` how many shapes it tries; 0 leaves it out.
"""

import argparse
import hashlib
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz.engine import Failure, Target, check_growth, run
from tests.fuzz.targets.all import TARGETS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers.")
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS], help="only this one; may be repeated")
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=60.0, help="longest time for each target")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "carteiro-fuzz", help="where failing inputs are written")
    parser.add_argument("--growth-bytes", type=int, default=16_384)
    parser.add_argument("--shapes", type=int, default=120)
    parser.add_argument("--minimise", type=float, default=5.0, help="seconds in which a failing input is made smaller")
    parser.add_argument("--list", action="store_true", help="name the targets and end")
    return parser.parse_args()


def _keep(failure: Failure, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(failure.data).hexdigest()[:10]
    path = directory / f"{failure.target}-{digest}"
    path.write_bytes(failure.data)
    print(
        f"FAILED {failure.target}: {failure.kind}\n  {len(failure.data)} bytes in {path}: {failure.data[:300]!r}\n{failure.text}",
        flush=True,
    )


def _fuzz(target: Target, options: argparse.Namespace, seed: int) -> int:
    report = run(target, inputs=options.inputs, seed=seed, seconds=options.minutes * 60, minimise_s=options.minimise)
    failures = list(report.failures.values())
    if options.shapes:
        failures += check_growth(target, size=options.growth_bytes, seed=seed, most=options.shapes)
    speed = report.inputs / max(report.seconds, 1e-9)
    size = report.total_bytes / max(report.inputs, 1)
    print(
        f"{target.name:20} {report.inputs:>9,} inputs {speed:>8,.0f}/s {size:>7,.0f} bytes each, corpus {report.corpus}, {len(failures)} failures",
        flush=True,
    )
    for failure in failures:
        _keep(failure, options.keep)
    return len(failures)


def main() -> int:
    options = _arguments()
    if options.list:
        print("\n".join(target.name for target in TARGETS))
        return 0
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    chosen = [target for target in TARGETS if not options.target or target.name in options.target]
    return 1 if sum([_fuzz(target, options, seed) for target in chosen]) else 0


sys.exit(main())
