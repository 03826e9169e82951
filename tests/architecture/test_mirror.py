"""Each module is tested: by name, or through the module of its own folder that uses it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "appliance"
UNTESTED = {
    "appliance.app.serve": "is a process of its own: tests/interop start it as people do",
}
"""Modules that no test names, each with the reason; a line here that is not needed any more fails."""


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _modules() -> dict[str, Path]:
    return {_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in {"__init__.py", "__main__.py"}}


def _named_by_tests(modules: dict[str, Path]) -> set[str]:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "fuzz" not in path.parts and path != Path(__file__)]
    words = set(re.findall(r"appliance(?:\.\w+)+", "\n".join(path.read_text(encoding="utf-8") for path in paths)))
    imported = {imported for path in paths for imported in _imports(path)}
    files = {path.stem.removeprefix("test_") for path in paths}
    return {name for name, path in modules.items() if name in words | imported or path.stem in files}


def _imports(path: Path) -> set[str]:
    """Return what a file imports, names of packages joined with what is taken from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def _covered(modules: dict[str, Path]) -> set[str]:
    """Return the modules named by tests and, step by step, their neighbours that these use."""
    covered = _named_by_tests(modules)
    waiting = sorted(covered)
    for name in waiting:
        folder = name.rpartition(".")[0]
        neighbours = {each for each in _imports(modules[name]) if each in modules and each.rpartition(".")[0] == folder}
        waiting += sorted(neighbours - covered)
        covered |= neighbours
    return covered


def test_each_module_is_tested() -> None:
    """A module that nothing leads to from the tests is listed with its reason, and only such a one."""
    modules = _modules()
    assert set(UNTESTED) == set(modules) - _covered(modules)


def test_each_test_folder_stands_beside_a_source_folder() -> None:
    """tests/ has the folders of appliance/, and a few that cut across it."""
    across = {"architecture", "bench", "crash", "dialogs", "fuzz", "interop", "packaging", "properties", "storm", "vectors"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert set() == folders - across - {path.name for path in PACKAGE.iterdir() if path.is_dir()}
