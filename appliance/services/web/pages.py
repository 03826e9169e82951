"""Templates and static files, read from the package wherever it lies: source tree, wheel or frozen executable.

Owns the template environment. jinja2 is imported by the first page: a server
whose page nobody opens does not pay 100 ms and 11 MB for it. Everything is
escaped unless a template says otherwise, and none does.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from appliance.net.http_messages import StaticFile
from appliance.services.web.texts import LANGUAGES, TEXTS, Words

if TYPE_CHECKING:
    import jinja2

__all__ = ["Pages", "static_files"]

_PACKAGE = "appliance.services.web"
_STATIC = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def _read(name: str) -> bytes:
    return files(_PACKAGE).joinpath(name).read_bytes()


def static_files() -> dict[str, StaticFile]:
    """Return path to file for everything below ``/static/``. Blocks: disk, once at start."""
    return {f"/static/{name}": StaticFile.of(_read(name), kind) for name, kind in _STATIC.items()}


class Pages:
    """Renders templates of this folder."""

    def __init__(self) -> None:
        self._environment: jinja2.Environment | None = None

    def render(self, template: str, language: str, values: Mapping[str, Any]) -> str:
        """Return a page. ``values`` come on top of ``t`` (the words), ``language`` and ``languages``."""
        if self._environment is None:
            self._environment = _make_environment()
        words = Words(language)
        names = [(code, TEXTS[code]["language"]) for code in LANGUAGES]
        return self._environment.get_template(template).render(t=words, language=language, languages=names, **values)


def _make_environment() -> "jinja2.Environment":
    import jinja2  # Here, not above: see the module's docstring.

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _read(name).decode()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
