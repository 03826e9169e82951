"""The checks of strangers follow a reload."""

from dataclasses import replace
from pathlib import Path

from appliance.app import wiring
from appliance.app.checking import make_checks
from appliance.config.schema import ChecksConfig, Config, ListConfig


async def test_a_reload_brings_other_checks(tmp_path: Path) -> None:
    """What is made after it is made of the new settings; what does not concern checks makes nobody forget rates."""
    config = Config(domain="example.com", data=str(tmp_path))
    parts = await wiring.assemble(config)
    told: list[str] = []
    parts.checks_changed = lambda: told.append("checks")
    make_judge, make_gate = make_checks(parts)
    assert make_judge is not None
    assert ([], "own") == (make_gate().lists, make_gate().checks.helo)
    parts.reload(replace(config, aliases={"sales": ("ana",)}), None)
    assert [] == told
    changed = replace(config, checks=ChecksConfig(authenticate=False, helo="full"), address_lists=(ListConfig(zone="bad.example"),))
    parts.reload(changed, None)
    assert ["checks"] == told
    make_judge, make_gate = make_checks(parts)
    assert make_judge is None
    assert (["bad.example"], "full") == ([one.zone for one in make_gate().lists], make_gate().checks.helo)
    await parts.offload.run(parts.spool.close)
