"""Words to systemd: READY, RELOADING, STOPPING, STATUS, and the watchdog's heartbeat.

Owns the datagram socket named by ``NOTIFY_SOCKET``. Without it every call does
nothing, so that callers need not ask how they were started.

Sources: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from collections.abc import Mapping

import trio

__all__ = ["ServiceManager"]


class ServiceManager:
    """Tells systemd how we are."""

    def __init__(self, environment: Mapping[str, str], *, own_pid: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        for_pid = environment.get("WATCHDOG_PID", "")
        meant = not for_pid or for_pid == str(own_pid if own_pid is not None else os.getpid())
        self.watchdog_s = int(usec) / 1_000_000 if usec.isdigit() and meant else 0.0
        """Seconds after which systemd gives us up; 0: it does not watch."""

    def ready(self, status: str = "") -> None:
        self._send("READY=1", status)

    def reloading(self) -> None:
        """Tell that a reload began; ``ready`` ends it."""
        self._send("RELOADING=1", "", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self, status: str = "") -> None:
        self._send("STOPPING=1", status)

    def status(self, text: str) -> None:
        self._send("", text)

    async def heartbeat(self) -> None:
        """Send WATCHDOG=1 twice as often as asked for, for ever: a loop that hangs is restarted. Returns at once when unwatched."""
        if not self._address or self.watchdog_s <= 0:
            return
        while True:
            self._send("WATCHDOG=1", "")
            await trio.sleep(self.watchdog_s / 2)

    def _send(self, word: str, status: str, *more: str) -> None:
        if not self._address:
            return
        lines = [line for line in (word, f"STATUS={status}" if status else "", *more) if line]
        # A name that begins with @ is an abstract one (unix(7)): its first byte is zero.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), address)
        except OSError:
            pass  # systemd not listening is no reason to stop the mail.
