"""A profile of what goes wrong on purpose, as interfaces show and change it.

Owns names and ranges of the values. Fails: ProfileError with the reason in words; then nothing was changed.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from appliance.policy.caught_faults import CHAOS_DEFAULTS, ChaosError, Faults
from appliance.protocols.smtp.extensions import SWITCHES, extension_names

__all__ = ["RANGES", "ProfileError", "change_profile", "profile_of"]

RANGES: Final[Mapping[str, float]] = MappingProxyType(
    {"per_minute": 1_000_000, "delay_s": 120, "max_connections": 1_000_000, "bytes_per_s": 1_000_000_000, "tls_percent": 100}
)
"""The largest value of each number; the smallest is 0, which switches it off."""
_FLAGS: Final = ("greylist", "tls_breaks")
_NAMES: Final = ("chaos", *_FLAGS, *RANGES, "without")


class ProfileError(ValueError):
    """A name or a value that cannot be."""


def profile_of(faults: Faults) -> dict[str, Any]:
    """Return a profile for JSON."""
    chaos = {name.lower(): {"code": code, "percent": percent} for name, (code, percent) in faults.chaos.items()}
    return {"chaos": chaos} | {name: getattr(faults, name) for name in (*_FLAGS, *RANGES)} | {"without": sorted(faults.without)}


def change_profile(faults: Faults, given: object) -> None:
    """Set what is named, leave the rest. Raises ProfileError."""
    if not isinstance(given, dict) or set(given) - set(_NAMES):
        raise ProfileError(f"a profile names {', '.join(_NAMES)}")
    values = {name: _triggers(faults, value) if name == "chaos" else _value(faults, name, value) for name, value in given.items()}
    for name, value in values.items():
        setattr(faults, name, value)


def _value(faults: Faults, name: str, given: object) -> object:
    if name == "without":
        if not isinstance(given, list) or len(given) > len(SWITCHES) + 20 or not all(isinstance(one, str) and one for one in given):
            raise ProfileError("without: a list of names")
        try:
            return extension_names(given)
        except ValueError as error:
            raise ProfileError(f"without: {error}") from None
    if name in _FLAGS:
        if not isinstance(given, bool):
            raise ProfileError(f"{name}: true or false")
        return given
    kind = type(getattr(faults, name))
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= RANGES[name] or kind(given) != given:
        raise ProfileError(f"{name}: {'a whole number, ' if kind is int else ''}0 - {RANGES[name]:g}")
    return kind(given)


def _triggers(faults: Faults, given: object) -> dict[str, tuple[int, int]]:
    """Return all triggers, those that are named as they are told. Raises ProfileError."""
    names = {name.lower(): name for name in CHAOS_DEFAULTS}
    if not isinstance(given, dict) or set(given) - set(names):
        raise ProfileError(f"chaos: names {', '.join(names)}")
    triggers = dict(faults.chaos)
    for name, one in given.items():
        if not isinstance(one, dict) or set(one) - {"code", "percent"} or any(type(value) is not int for value in one.values()):
            raise ProfileError(f"chaos: {name} has a code and percent, both whole numbers")
        triggers[names[name]] = (one.get("code", triggers[names[name]][0]), one.get("percent", 0))
    try:
        Faults.check_chaos(triggers)
    except ChaosError as error:
        raise ProfileError(f"chaos: {error}") from None
    return triggers
