"""What was promised, and whether it was kept."""

import itertools
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .message import digest, make_message
from .sink import Taken

__all__ = ["Ledger", "Promise", "Verdict"]


@dataclass(slots=True)
class Promise:
    """One message a client sent: what happened to it there. ``at_s``: monotonic, of the last reply or of the broken connection."""

    token: str
    size: int
    local: tuple[str, ...]
    remote: tuple[str, ...]
    is_acknowledged: bool = False
    refusal: str = ""
    at_s: float = 0.0


@dataclass(slots=True)
class Verdict:
    """What the comparison found; ``faults`` must be empty."""

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    delivered_unacknowledged: int = 0
    local_copies: int = 0
    remote_copies: int = 0
    local_duplicates: int = 0
    remote_duplicates: int = 0
    longest_before_kill_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Verdict") -> None:
        """Take in the figures of another round."""
        for name in (
            "acknowledged", "refused", "unknown", "delivered_unacknowledged", "local_copies", "remote_copies", "local_duplicates",
            "remote_duplicates",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_before_kill_s = max(self.longest_before_kill_s, other.longest_before_kill_s)
        self.faults += other.faults


class Ledger:
    """Promises of all clients. Any thread."""

    def __init__(self) -> None:
        self.promises: dict[str, Promise] = {}
        self._lock = threading.Lock()

    def sending(self, promise: Promise) -> None:
        """Note a message before its first byte goes out."""
        with self._lock:
            self.promises[promise.token] = promise

    def judge(self, mailboxes: Mapping[str, Sequence[tuple[str, str]]], taken: Sequence[Taken], kills: Sequence[float]) -> Verdict:
        """Compare.

        Shape: ``mailboxes`` user -> (token, digest) of each message; ``kills`` monotonic times.
        """
        verdict = Verdict()
        expected = {token: digest(make_message(token, promise.size)) for token, promise in self.promises.items()}
        local = {user: Counter(token for token, _ in messages) for user, messages in mailboxes.items()}
        remote: dict[tuple[str, str], list[float]] = {}
        for one in taken:
            remote.setdefault((one.token, one.recipient), []).append(one.at_s)
        copies = [(token, found, user) for user, messages in mailboxes.items() for token, found in messages]
        copies += [(one.token, one.digest, one.recipient) for one in taken]
        unknown = [(where, token) for token, _, where in copies if token not in expected]
        verdict.faults += [f"{where} has a message nobody sent: {token!r}" for where, token in unknown]
        verdict.faults += [f"{where} has {token} damaged" for token, found, where in copies if found != expected.get(token, found)]
        for promise in self.promises.values():
            self._judge_one(promise, local, remote, verdict)
        verdict.local_copies = sum(map(Counter.total, local.values()))
        verdict.remote_copies = len(taken)
        for user, counter in local.items():
            for token, count in counter.items():
                if count > 1:
                    verdict.local_duplicates += count - 1
                    verdict.faults.append(f"{user} has {token} {count} times")
        for (token, recipient), times in remote.items():
            self._judge_repeats(f"{recipient} got {token}", times, kills, verdict)
        return verdict

    def _judge_one(
        self, promise: Promise, local: Mapping[str, Counter[str]], remote: Mapping[tuple[str, str], list[float]], verdict: Verdict
    ) -> None:
        found_local = [user for user in promise.local if local[user][promise.token]]
        found_remote = [address for address in promise.remote if (promise.token, address) in remote]
        missing = [*(set(promise.local) - set(found_local)), *(set(promise.remote) - set(found_remote))]
        if promise.is_acknowledged:
            verdict.acknowledged += 1
            if missing:
                verdict.faults.append(f"LOST: {promise.token} of {promise.size} bytes was acknowledged and is not with {missing}")
            return
        if promise.refusal:
            verdict.refused += 1
            if found_local or found_remote:
                verdict.faults.append(f"{promise.token} was refused ({promise.refusal}) and yet arrived")
            return
        verdict.unknown += 1
        if found_local or found_remote:
            verdict.delivered_unacknowledged += 1
            if missing:
                verdict.faults.append(f"{promise.token} was taken only for some of its recipients")

    def _judge_repeats(self, what: str, times: Sequence[float], kills: Sequence[float], verdict: Verdict) -> None:
        """Take second copies at the next hop: each needs a kill between it and the copy before."""
        verdict.remote_duplicates += len(times) - 1
        for first, second in itertools.pairwise(times):
            between = [kill - first for kill in kills if first <= kill <= second]
            if not between:
                verdict.faults.append(f"{what} twice, {second - first:.3f} s apart, and no kill between")
            else:
                verdict.longest_before_kill_s = max(verdict.longest_before_kill_s, min(between))
