"""The command line of the campaigns."""

import argparse
import sys
import tempfile
from pathlib import Path

from .backlog import run_backlog
from .disk import KINDS, run_disk
from .kills import run_kills
from .memory import LARGE, run_memory


def main() -> int:
    """Run one scenario; return 1 when it found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign", description="Prove that nothing acknowledged is lost.")
    parser.add_argument("scenario", nargs="?", default="kills", choices=("kills", "disk", "memory", "backlog"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--messages", type=int, default=5_000, help="length of the queue in the scenario backlog")
    parser.add_argument("--disk", choices=KINDS, help="only this kind of full disk")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the disk stays full")
    parser.add_argument("--size", type=int, default=LARGE, help="bytes of the large message")
    parser.add_argument("--directory", type=Path, help="where everything lies; kept afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carteiro-crash-") as temporary:
        directory = options.directory or Path(temporary)
        faults = _run(options, directory)
        for fault in faults[:50]:
            print(f"FAULT {fault}")
        print(f"{len(faults)} faults")
    return 1 if faults else 0


def _run(options: argparse.Namespace, directory: Path) -> list[str]:
    if options.scenario == "disk":
        kinds = (options.disk,) if options.disk else KINDS
        return [
            f"{kind}: {fault}" for kind in kinds for fault in run_disk(directory / kind, kind, seed=options.seed, full_s=options.seconds)
        ]
    if options.scenario == "memory":
        return run_memory(directory, size=options.size)
    if options.scenario == "backlog":
        return run_backlog(directory, messages=options.messages)
    return run_kills(directory, kills=options.kills, seed=options.seed, clients=options.clients).faults


if __name__ == "__main__":
    sys.exit(main())
