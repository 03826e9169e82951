"""What a reload swaps: services hold these, and these hold the settings of the moment.

Each attribute is replaced as a whole, so a look-up sees the old settings or the
new ones, never a mixture.
"""

from collections.abc import Sequence
from typing import Final

from appliance.config.schema import Config
from appliance.model.ids import AccountName
from appliance.model.outcome import Outcome
from appliance.model.ports import Directory, LocalDelivery, LocalJob, Router
from appliance.model.routing import Deliverable, LocalTarget, NextHop, NotLocal, RemoteTarget, Resolution
from appliance.policy.directory import ConfigDirectory
from appliance.policy.relay_access import TrustedNetworks
from appliance.policy.routing import ConfigRouter
from appliance.policy.srs import SenderRewriting

__all__ = ["CatchAllDirectory", "LiveDirectory", "LiveLocal", "LiveNetworks", "LiveRouter", "NoRoutes"]


_REWRITTEN: Final = frozenset({"SRS", "srs", "Srs"})


class LiveDirectory:
    """A ``Directory`` whose settings can be replaced."""

    def __init__(self, directory: Directory, srs: SenderRewriting | None = None) -> None:
        self.current = directory
        self._srs = srs

    def resolve(self, address: str) -> Resolution:
        """Ask the settings; a reverse-path that we made for forwarded mail leads to its author."""
        if self._srs is not None and address[:3] in _REWRITTEN and (author := self._srs.reverse(address)) is not None:
            return Deliverable((RemoteTarget(author),))
        return self.current.resolve(address)

    def mailbox_of(self, address: str) -> LocalTarget | None:
        return self.current.mailbox_of(address)

    def may_send_as(self, account: AccountName, address: str) -> bool:
        return self.current.may_send_as(account, address)

    def qualify(self, address: str) -> str:
        return self.current.qualify(address)

    def primary_address(self, account: AccountName) -> str:
        return self.current.primary_address(account)


class LiveRouter:
    """A ``Router`` whose settings can be replaced."""

    def __init__(self, router: Router) -> None:
        self.current = router

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        return self.current.next_hop(address, reverse_path)


class LiveLocal:
    """A ``LocalDelivery`` that can be replaced."""

    def __init__(self, local: LocalDelivery) -> None:
        self.current = local

    async def deliver(self, jobs: Sequence[LocalJob]) -> Sequence[Outcome]:
        return await self.current.deliver(jobs)

    async def settle(self) -> None:
        await self.current.settle()


class LiveNetworks:
    """The trusted networks of the moment."""

    def __init__(self, networks: TrustedNetworks) -> None:
        self.current = networks

    def contains(self, address: str) -> bool:
        return self.current.contains(address)


class CatchAllDirectory:
    """Every address may be anybody's, and what must be delivered here goes to one account: what ``carteiro dev`` needs."""

    def __init__(self, account: AccountName, domain: str) -> None:
        self._account = account
        self._domain = domain

    def resolve(self, address: str) -> Resolution:
        """Return that it is not ours: the envelope keeps each address as it was given."""
        return NotLocal()

    def mailbox_of(self, address: str) -> LocalTarget | None:
        return LocalTarget(self._account)

    def may_send_as(self, account: AccountName, address: str) -> bool:
        """Return True: an application under test sends as anybody."""
        return True

    def qualify(self, address: str) -> str:
        return address if not address or "@" in address else f"{address}@{self._domain}"

    def primary_address(self, account: AccountName) -> str:
        return f"{account}@{self._domain}"


class NoRoutes:
    """A ``Router`` that keeps everything here: nothing a developer's application sends may reach a real person."""

    def next_hop(self, address: str, reverse_path: str = "") -> NextHop | None:
        """Return None: local."""
        return None


def live_parts(config: Config) -> tuple[ConfigDirectory, ConfigRouter, TrustedNetworks]:
    """Return what a settings file says about addresses, routes and networks."""
    directory = ConfigDirectory(config)
    return directory, ConfigRouter(config, directory), TrustedNetworks(config.trusted_networks)
