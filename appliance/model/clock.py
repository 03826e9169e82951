"""A clock that tests set by hand; the real one lives in ``net.clock``."""

from dataclasses import dataclass

__all__ = ["ManualClock"]


@dataclass(slots=True)
class ManualClock:
    """Stands still until ``advance`` moves both hands."""

    wall_s: float = 1_700_000_000.0
    mono_s: float = 0.0

    def now_s(self) -> float:
        return self.wall_s

    def monotonic_s(self) -> float:
        return self.mono_s

    def advance(self, seconds: float) -> None:
        self.wall_s += seconds
        self.mono_s += seconds
