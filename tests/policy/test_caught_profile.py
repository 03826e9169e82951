"""Profiles of faults as interfaces change them."""

from typing import Any

import pytest

from appliance.policy.caught_faults import Faults
from appliance.policy.caught_profile import ProfileError, change_profile, profile_of


def _faults() -> Faults:
    return Faults(chance=lambda: 0.5, monotonic_s=lambda: 0.0)


def test_what_is_named_changes() -> None:
    """And what is shown can be set again."""
    faults = _faults()
    before = profile_of(faults)
    change_profile(
        faults, {"chaos": {"sender": {"percent": 7}}, "delay_s": 1, "tls_breaks": True, "without": ["chunking", "auth=cram-md5"]}
    )
    expected = {
        **before, "chaos": {**before["chaos"], "sender": {"code": 451, "percent": 7}}, "delay_s": 1.0, "tls_breaks": True,
        "without": ["AUTH=CRAM-MD5", "CHUNKING"],
    }  # fmt: skip
    assert expected == profile_of(faults)
    other = _faults()
    change_profile(other, profile_of(faults))
    assert expected == profile_of(other)


@pytest.mark.parametrize(
    "given",
    [
        [], None, {"what": 1}, {"per_minute": -1}, {"per_minute": True}, {"delay_s": 121}, {"delay_s": float("nan")}, {"greylist": 1},
        {"tls_percent": 101}, {"max_connections": "1"}, {"without": "CHUNKING"}, {"without": ["NONSENSE"]}, {"without": [1]},
        {"chaos": []}, {"chaos": {"what": {}}}, {"chaos": {"sender": 1}}, {"chaos": {"sender": {"code": 200}}}, {"chaos": {"sender": {"percent": 1.5}}},
        {"chaos": {"sender": {"percent": True}}}, {"chaos": {"sender": {"percent": 101}}}, {"chaos": {"sender": {"what": 1}}},
    ],
)  # fmt: skip
def test_nonsense_changes_nothing(given: Any) -> None:
    """Not even what stands beside it."""
    faults = _faults()
    before = profile_of(faults)
    with pytest.raises(ProfileError):
        change_profile(faults, {"per_minute": 3, **given} if isinstance(given, dict) and "per_minute" not in given else given)
    assert before == profile_of(faults)
