"""Templates and static files of a package, read wherever it lies: source tree, wheel or frozen executable.

Owns the template environment. jinja2 is imported by the first page: a server
whose page nobody opens does not pay 100 ms and 11 MB for it. Everything is
escaped unless a template says otherwise, and none does.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from appliance.net.http_messages import StaticFile

if TYPE_CHECKING:
    import jinja2

__all__ = ["Templates", "read_file", "static_files"]


def read_file(package: str, name: str) -> bytes:
    """Return a file of a package. Blocks: disk."""
    return files(package).joinpath(name).read_bytes()


def static_files(package: str, kinds: Mapping[str, str], below: str = "/static/") -> dict[str, StaticFile]:
    """Return path to file for the files named, each with its media type. Blocks: disk, once at start."""
    return {f"{below}{name}": StaticFile.of(read_file(package, name), kind) for name, kind in kinds.items()}


class Templates:
    """Renders the templates of a package."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._environment: jinja2.Environment | None = None

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return a page."""
        if self._environment is None:
            self._environment = self._made()
        return self._environment.get_template(template).render(values)

    def _made(self) -> "jinja2.Environment":
        import jinja2  # Here, not above: see the module's docstring.

        return jinja2.Environment(
            loader=jinja2.FunctionLoader(lambda name: read_file(self._package, name).decode()),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
