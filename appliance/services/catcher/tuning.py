"""The settings that are changed while mail comes in: what goes wrong on purpose; and what there is to know of inboxes and addresses.

Fails: what is out of range is told above the form, and nothing is changed.
"""

from typing import Final

from appliance.net.http_messages import Request, Response
from appliance.policy.caught_faults import CHAOS_DEFAULTS, ChaosError, Faults
from appliance.services.catcher.forms import Form, read_form
from appliance.services.catcher.frame import Frame, go
from appliance.services.catcher.routes import Routes

__all__ = ["Tuning"]

_MOST_PER_MINUTE: Final = 1_000_000
_MOST_DELAY_S: Final = 120.0


class Tuning:
    """See the module."""

    def __init__(self, frame: Frame, faults: Faults) -> None:
        self._frame = frame
        self._faults = faults

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/settings", self._show)
        routes.add("POST", "/settings", self._change)
        routes.add("POST", "/settings/calm", self._calm)

    async def _show(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request)

    async def _page(self, request: Request, error: str = "") -> Response:
        catcher = self._frame.desk.catcher
        await catcher.settled()
        inboxes = await catcher.offload.run(catcher.store.inboxes)
        values = {"faults": self._faults, "inbox_rows": inboxes, "retention": catcher.retention, "error": error}
        return await self._frame.show(request, "settings.html", values, status=400 if error else 200)

    async def _change(self, request: Request, _values: dict[str, str]) -> Response:
        form = read_form(request)
        try:
            per_minute = _number(form, "per_minute", _MOST_PER_MINUTE)
            delay_s = _number(form, "delay_s", _MOST_DELAY_S)
            chaos = {name: (int(_number(form, f"{name}.code", 599)), int(_number(form, f"{name}.percent", 100))) for name in CHAOS_DEFAULTS}
            self._faults.set_chaos(chaos)
        except (ChaosError, ValueError) as error:
            return await self._page(request, str(error))
        self._faults.greylist = bool(form.get("greylist"))
        self._faults.per_minute, self._faults.delay_s = int(per_minute), delay_s
        return go(self._frame.places.root, "settings", {"done": "saved"})

    async def _calm(self, _request: Request, _values: dict[str, str]) -> Response:
        """Let nothing go wrong any more."""
        self._faults.set_chaos(CHAOS_DEFAULTS)
        self._faults.greylist, self._faults.per_minute, self._faults.delay_s, self._faults.jim = False, 0, 0.0, None
        return go(self._frame.places.root, "settings", {"done": "saved"})


def _number(form: Form, name: str, most: float) -> float:
    text = form.get(name).strip().replace(",", ".") or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ValueError(f"{name}: 0 - {most:g}")
    return value
