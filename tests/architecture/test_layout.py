"""The house keeps its shape: sizes, pure cores, the root, tests beside sources, the register of RFCs."""

import ast
import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "appliance"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOT_ENTRIES = {
    "pyproject.toml", "README.md", "appliance", "packaging", "systemd", "tests", "sample.toml", "LICENSE", "CHANGELOG.md", ".ci", ".gitignore",
}  # fmt: skip
MODULE_LINES = 600
FUNCTION_LINES = 60
RFC = re.compile(r"\bRFC (\d{3,5})\b")


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    assert function.end_lineno is not None
    docstring = ast.get_docstring(function)
    return function.end_lineno - function.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_module_is_too_long() -> None:
    """A module that grows past the limit has more than one subject."""
    long = {str(path.relative_to(ROOT)): lines for path in MODULES if (lines := path.read_text().count("\n")) > MODULE_LINES}
    assert {} == long


def test_no_function_is_too_long() -> None:
    """A function that grows past the limit does more than one thing."""
    long = [
        f"{path.relative_to(ROOT)}:{function.name}: {_body_lines(function)}"
        for path in MODULES
        for function in _functions(path)
        if _body_lines(function) > FUNCTION_LINES
    ]
    assert [] == long


def test_the_root_holds_only_its_card() -> None:
    """Nothing new stands at the root of the repository."""
    if shutil.which("git") is None:
        pytest.skip("no git to ask")
    listed = subprocess.run(["git", "ls-tree", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert set() == set(listed.stdout.split()) - ROOT_ENTRIES


def test_every_module_says_what_it_owns() -> None:
    """Each module starts with a docstring."""
    assert [] == [str(path.relative_to(ROOT)) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_cited_rfcs_are_registered() -> None:
    """Every RFC cited in the code stands in the register with a status."""
    register = tomllib.loads((PACKAGE / "doc" / "rfcs.toml").read_text())
    cited = {number for path in MODULES for number in RFC.findall(path.read_text())}
    assert set() == cited - register.keys()


def test_registered_rfcs_are_cited_where_they_are_kept() -> None:
    """An RFC said to be kept is cited by at least one module; the status is one of four words."""
    register = tomllib.loads((PACKAGE / "doc" / "rfcs.toml").read_text())
    cited = {number for path in MODULES for number in RFC.findall(path.read_text())}
    assert {"yes", "partial", "planned", "no"} >= {entry["status"] for entry in register.values()}
    assert set() == {number for number, entry in register.items() if entry["status"] == "yes"} - cited


def test_exported_names_exist_and_are_sorted_sets() -> None:
    """``__all__`` names what the module defines, once."""
    wrong = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
        ]
        names = list(itertools.chain.from_iterable(exported))
        if len(names) != len(set(names)):
            wrong.append(str(path.relative_to(ROOT)))
    assert [] == wrong


def test_the_project_names_no_workplace() -> None:
    """No path of a build machine is left in what is shipped."""
    pattern = re.compile(r"(^|[\s\"'(])/(work|home/[a-z]+)/")
    files = [path for folder in ("appliance", "packaging", "systemd") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = ((path, path.read_text(encoding="utf-8", errors="replace")) for path in files if path.suffix != ".pyc")
    assert [] == [str(path.relative_to(ROOT)) for path, text in texts if pattern.search(text)]
