"""SIGKILL at any moment, again and again, while mail comes in, goes out, and is read."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .imapuser import ImapUser
from .ledger import Ledger, Verdict
from .load import Load
from .mailboxes import clear_folder, file_tokens, read_inbox, spare_files
from .message import digest, make_message
from .server import USERS, Server, wait_until
from .sink import Sink

__all__ = ["run_kills"]

_STARTING = 0.3
"""Share of kills before the server is up."""


def run_kills(directory: Path, *, kills: int, seed: int, clients: int = 20, per_round: int = 25, pause_s: float = 0.1) -> Verdict:
    """Kill so many times, in rounds that end with an empty queue and a comparison of everything.

    Raises: TimeoutError when the queue does not drain, RuntimeError when the server ends by itself.
    """
    sink = Sink(seed)
    server = Server(directory, sink.port)
    chance = random.Random(seed)
    total = Verdict()
    try:
        for number, done in enumerate(range(0, kills, per_round)):
            verdict = _round(server, sink, chance, f"{seed}r{number}", min(per_round, kills - done), clients, pause_s)
            total.add(verdict)
            for fault in verdict.faults[:20]:
                print(f"  FAULT {fault}", flush=True)
            print(_tell(f"after {min(kills, done + per_round)} kills", total), flush=True)
    finally:
        server.stop()
        sink.close()
    return total


def _round(server: Server, sink: Sink, chance: random.Random, name: str, kills: int, clients: int, pause_s: float) -> Verdict:
    ledger = Ledger()
    load = Load(ledger, lambda: server.ports["smtp"], clients=clients, seed=chance.randrange(2**32), pause_s=pause_s, name=name)
    people = [ImapUser(server, user, chance.randrange(2**32), name) for user in ("carla", "davi", "eva", "fred")]
    times: list[float] = []
    starts: list[float] = []
    if server.process is None:
        server.start()
    load.start()
    for person in people:
        person.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.02, 1.2))
        server.kill()
        sink.read_out()
        times.append(time.monotonic())
        if chance.random() < _STARTING:
            server.start(wait=False)
            time.sleep(chance.uniform(0.0, 0.9))
            continue
        starts.append(server.start())
    server.wait_up()
    load.stop()
    for person in people:
        person.stop()
    print(f"  {name}: slowest start {max(starts, default=0):.2f} s, {server.entries()} entries left to deliver", flush=True)
    wait_until(lambda: server.queued() == [], lambda: f"an empty queue, {server.log_end}", 180)
    verdict = _judge(server, sink, ledger, times, people)
    for person in people:
        verdict.faults += person.faults + person.refusals
        print(f"  {name}: {person.acknowledged} acknowledged IMAP steps", flush=True)
        clear_folder(server, person.user, "Done")
    return verdict


def _judge(server: Server, sink: Sink, ledger: Ledger, times: list[float], people: Sequence[ImapUser]) -> Verdict:
    mailboxes = {user: read_inbox(server, user) for user in USERS}
    taken, sink.taken = sink.taken, []
    # What a person put into the own mailbox was compared by that person.
    mailed = {
        user: [one for one in messages if not any(person.is_mine(one[0]) for person in people)] for user, messages in mailboxes.items()
    }
    for person in people:
        there = {token for token, _ in mailed[person.user]}
        for token in person.doubtful_mail - there:
            mailed[person.user].append((token, digest(make_message(token, ledger.promises[token].size))))
    verdict = ledger.judge(mailed, taken, times)
    verdict.faults += [
        f"{person.user}: {token} was expunged and is back"
        for person in people
        for token, _ in mailboxes[person.user]
        if token in person.deleted_mail
    ]
    for user, messages in mailboxes.items():
        if Counter(token for token, _ in messages) != file_tokens(server, user):
            verdict.faults.append(f"the files of {user} hold something else than IMAP tells")
    try:
        wait_until(lambda: not spare_files(server), lambda: "")
    except TimeoutError:
        verdict.faults.append(f"content files of nobody: {spare_files(server)}")
    for user in USERS:
        clear_folder(server, user)
    return verdict


def _tell(when: str, verdict: Verdict) -> str:
    return (
        f"{when}: {verdict.acknowledged} acknowledged, {verdict.refused} refused, {verdict.unknown} in flight at a kill"
        f" ({verdict.delivered_unacknowledged} of them arrived); {verdict.local_copies} local copies, {verdict.remote_copies} relayed;"
        f" duplicates: {verdict.local_duplicates} local, {verdict.remote_duplicates} relayed"
        f" (taken at most {verdict.longest_before_kill_s * 1000:.0f} ms before the kill); {len(verdict.faults)} faults"
    )
