"""The relay, loaded when there is first something for another server.

Owns nothing else. Its modules and those of the SMTP client are most of a MiB, and many an
appliance that only takes mail in never sends any on.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from appliance.model.outcome import Outcome
from appliance.model.ports import Offload, RelayJob

if TYPE_CHECKING:
    from appliance.services.relay.ladder import RunningRelay

__all__ = ["LateRelay"]


class LateRelay:
    """Implements ``model.ports.RelayDelivery``. ``run`` must run."""

    def __init__(self, make: "Callable[[Callable[..., RunningRelay]], RunningRelay]", offload: Offload) -> None:
        """``make``: calls ``app.relaying.make_relay``, which it is given, with its arguments."""
        self._make = make
        self._offload = offload
        self._made = trio.Event()
        self._service: RunningRelay | None = None

    async def run(self) -> None:
        """Do what the relay does in the background, once there is one."""
        await self._made.wait()
        assert self._service is not None
        await self._service.run()

    async def deliver(self, job: RelayJob) -> Sequence[Outcome]:
        """Try once; one outcome per recipient, in their order."""
        if self._service is None:
            maker = await self._offload.run(_load)
            if self._service is None:  # another attempt was here while we waited
                self._service = self._make(maker)
                self._made.set()
        return await self._service.deliver(job)


def _load() -> "Callable[..., RunningRelay]":
    from appliance.app.relaying import make_relay

    return make_relay
