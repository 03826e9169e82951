"""The settings that are changed while mail comes in: what goes wrong on purpose, and inboxes with settings of their own.

Fails: what is out of range is told above the form, and nothing is changed.
"""

from typing import Any, Final
from urllib.parse import quote

from appliance.net.http_messages import Request, Response
from appliance.policy.caught_faults import CHAOS_DEFAULTS, Faults
from appliance.policy.caught_inbox import account_of_inbox, inbox_name
from appliance.policy.caught_profile import RANGES, ProfileError, change_profile
from appliance.protocols.smtp.extensions import SWITCHES
from appliance.services.catcher.forms import Form, read_form
from appliance.services.catcher.frame import Frame, go
from appliance.services.catcher.inboxes import InboxError, Inboxes, InboxSettings
from appliance.services.catcher.routes import Routes

__all__ = ["Tuning"]

_DECIMAL: Final = ("delay_s", "max_age_s", "expires_in_s")
_EVERYBODYS: Final = ("tls_percent",)
"""What cannot be known of an inbox, since nobody has named one yet."""


class Tuning:
    """See the module."""

    def __init__(self, frame: Frame, faults: Faults, inboxes: Inboxes) -> None:
        self._frame = frame
        self._faults = faults
        self._inboxes = inboxes
        self._root = frame.places.root

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/settings", self._show)
        routes.add("POST", "/settings", self._change)
        routes.add("POST", "/settings/calm", self._calm)
        routes.add("GET", "/inboxes", self._list_inboxes)
        routes.add("POST", "/inboxes", self._make)
        routes.add("GET", "/inboxes/{name}", self._show_inbox)
        routes.add("POST", "/inboxes/{name}", self._change_inbox)
        routes.add("POST", "/inboxes/{name}/delete", self._delete_inbox)

    # All mail

    async def _show(self, request: Request, _values: dict[str, str]) -> Response:
        return await self._page(request)

    async def _page(self, request: Request, error: str = "") -> Response:
        catcher = self._frame.desk.catcher
        await catcher.settled()
        found = {name: (total, unread) for name, total, unread in await catcher.offload.run(catcher.store.inboxes)}
        rows = [(name, *found.get(name, (0, 0))) for name in sorted({*found, *self._inboxes.names})]
        values = {
            "faults": self._faults, "inbox_rows": rows, "retention": catcher.retention, "error": error, "switches": SWITCHES,
        }  # fmt: skip
        return await self._frame.show(request, "settings.html", values, status=400 if error else 200)

    async def _change(self, request: Request, _values: dict[str, str]) -> Response:
        form = read_form(request)
        try:
            change_profile(self._faults, _profile(form, self._faults, whole=True))
        except ProfileError as error:
            return await self._page(request, str(error))
        return go(self._root, "settings", {"done": "saved"})

    async def _calm(self, _request: Request, _values: dict[str, str]) -> Response:
        """Let nothing go wrong any more."""
        change_profile(self._faults, dict.fromkeys(RANGES, 0) | {"greylist": False, "tls_breaks": False, "without": []})
        self._faults.set_chaos(CHAOS_DEFAULTS)
        self._faults.jim = None
        return go(self._root, "settings", {"done": "saved"})

    # Inboxes

    async def _list_inboxes(self, _request: Request, _values: dict[str, str]) -> Response:
        """Lead to where they are listed: a browser that asks again after a refusal asks here."""
        return go(self._root, "settings", {})

    async def _make(self, request: Request, _values: dict[str, str]) -> Response:
        wanted = read_form(request).get("name").strip()
        try:
            name = await self._inboxes.make({"name": wanted} if wanted else {})
        except InboxError as error:
            return await self._page(request, str(error))
        return go(self._root, f"inboxes/{quote(name)}", {})

    async def _show_inbox(self, request: Request, values: dict[str, str]) -> Response:
        return await self._inbox_page(request, inbox_name(values["name"]))

    async def _inbox_page(self, request: Request, name: str, error: str = "", token: str = "") -> Response:
        catcher = self._frame.desk.catcher
        await catcher.settled()
        counts = await catcher.offload.run(catcher.store.counts, name)
        settings = self._inboxes.settings(name)
        if not name or (settings is None and not counts.total):
            return await self._frame.show(request, "gone.html", status=404)
        values = {
            "name": name, "inbox_counts": counts, "settings": settings or InboxSettings(), "error": error, "token": token,
            "faults": self._inboxes.faults(name) or self._inboxes.no_faults(), "switches": SWITCHES, "login": account_of_inbox(name),
        }  # fmt: skip
        return await self._frame.show(request, "inbox.html", values, status=400 if error else 200)

    async def _change_inbox(self, request: Request, values: dict[str, str]) -> Response:
        name, form = inbox_name(values["name"]), read_form(request)
        given: dict[str, Any] = {}
        try:
            faults = self._inboxes.faults(name) or self._inboxes.no_faults()
            given |= {number: _number(form, number) for number in ("keep", "max_age_s")}
            given["faults"] = _profile(form, faults, whole=False)
            if form.get("expires_in_s").strip():
                given["expires_in_s"] = _number(form, "expires_in_s")
            if form.get("password") or form.get("no_password"):
                given["password"] = "" if form.get("no_password") else form.get("password")
            if form.get("token"):
                given["token"] = True
            await self._inboxes.change(name, given)
        except (InboxError, ProfileError) as error:
            return await self._inbox_page(request, name, str(error))
        settings = self._inboxes.settings(name)
        if form.get("token") and settings is not None:
            return await self._inbox_page(request, name, token=settings.token)
        return go(self._root, f"inboxes/{quote(name)}", {"done": "saved"})

    async def _delete_inbox(self, _request: Request, values: dict[str, str]) -> Response:
        count = await self._inboxes.remove(inbox_name(values["name"]))
        return go(self._root, "settings", {"done": "deleted", "n": str(count)})


def _profile(form: Form, faults: Faults, *, whole: bool) -> dict[str, Any]:
    """Return what a form says of a profile. ``whole``: that of all mail. Raises ProfileError for what is no number."""
    chaos = {
        name.lower(): {"code": _number(form, f"{name}.code") or faults.chaos[name][0], "percent": _number(form, f"{name}.percent")}
        for name in CHAOS_DEFAULTS
    }
    single = sorted(name for name in faults.without if name not in SWITCHES)
    profile: dict[str, Any] = {name: _number(form, name) for name in RANGES if whole or name not in _EVERYBODYS}
    profile |= {"chaos": chaos, "greylist": bool(form.get("greylist")), "without": [*form.all("without"), *single]}
    return profile | ({"tls_breaks": bool(form.get("tls_breaks"))} if whole else {})


def _number(form: Form, name: str) -> float:
    text = form.get(name).strip().replace(",", ".") or "0"
    try:
        return float(text) if name in _DECIMAL else int(text)
    except ValueError:
        raise ProfileError(f"{name}: {text[:20]} ?") from None
