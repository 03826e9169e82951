"""The status page's templates and static files, with the words of a language."""

from collections.abc import Mapping
from typing import Any

from appliance.net.http_messages import StaticFile
from appliance.net.templates import Templates
from appliance.net.templates import static_files as files_of
from appliance.services.web.texts import LANGUAGES, TEXTS, Words

__all__ = ["Pages", "static_files"]

_PACKAGE = "appliance.services.web"
_STATIC = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def static_files() -> dict[str, StaticFile]:
    """Return path to file for everything below ``/static/``. Blocks: disk, once at start."""
    return files_of(_PACKAGE, _STATIC)


class Pages:
    """Renders templates of this folder."""

    def __init__(self) -> None:
        self._templates = Templates(_PACKAGE)

    def render(self, template: str, language: str, values: Mapping[str, Any]) -> str:
        """Return a page. ``values`` come on top of ``t`` (the words), ``language`` and ``languages``."""
        names = [(code, TEXTS[code]["language"]) for code in LANGUAGES]
        return self._templates.render(template, {"t": Words(language), "language": language, "languages": names, **values})
