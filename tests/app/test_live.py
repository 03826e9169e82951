"""Addresses that settings do not know: what we made ourselves for forwarded mail."""

from appliance.app.live import LiveDirectory
from appliance.config.schema import Config, UserConfig
from appliance.model.routing import Deliverable, Refused, RemoteTarget
from appliance.policy.directory import ConfigDirectory
from appliance.policy.srs import SenderRewriting


def test_a_rewritten_sender_leads_to_the_author() -> None:
    """A report about forwarded mail goes on; an address that somebody made up does not exist."""
    srs = SenderRewriting(b"secret", "example.com", lambda: 1.7e9)
    directory = LiveDirectory(ConfigDirectory(Config(domain="example.com", users=(UserConfig(name="ana"),))), srs)
    made = srs.forward("bob@far.example")
    assert Deliverable((RemoteTarget("bob@far.example"),)) == directory.resolve(made)
    assert isinstance(directory.resolve(made.replace("=bob", "=eve")), Refused)
