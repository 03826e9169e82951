"""How well mail programs show the HTML of a message: its elements, attributes and styles against a table of what each program supports.

Owns how a feature is recognised; the table says who supports it. Everything is
found by looking at text: a style sheet is not computed.

Fails: never. Does not: look at pictures, or at anything that is not in the message.

Sources: caniemail.com's data (MIT licence), Mailpit's HTML check (the shape of the result).
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from appliance.message.html import elements

__all__ = ["HtmlCheck"]

Element = tuple[str, Mapping[str, str]]

_ATTRIBUTES: Final = frozenset(
    {"align", "background", "cellpadding", "cellspacing", "dir", "height", "hidden", "lang", "popover", "required", "role", "srcset", "target", "valign", "width"}
)  # fmt: skip
_GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "lists": frozenset({"ul", "ol", "dl"}),
    "h1-h6": frozenset({"h1", "h2", "h3", "h4", "h5", "h6"}),
    "image-maps": frozenset({"map"}),
    "semantics": frozenset({"article", "aside", "details", "figcaption", "figure", "footer", "header", "main", "mark", "nav", "section", "summary", "time"}),
    "del": frozenset({"del", "ins"}),
    "strong": frozenset({"strong", "b"}),
}  # fmt: skip
_TYPED = re.compile(r"(input|button)-(\w+)")
_KEYWORDS: Final = ("display", "position", "text-transform", "white-space", "background-blend-mode", "overflow", "object-fit")
_STYLE_URL = re.compile(r"/\*.*?\*/", re.DOTALL)


class HtmlCheck:
    """``table`` is the data file as it was read."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._features: Sequence[Mapping[str, Any]] = table["data"]
        self._families: Mapping[str, str] = table["nicenames"]["family"]
        self._platform_names: Mapping[str, str] = table["nicenames"]["platform"]
        self._tests = [(feature, _recogniser(feature["slug"])) for feature in self._features]

    def run(self, html: str) -> dict[str, Any]:
        """Return the check of a document, the features that matter most first."""
        found, sheet = elements(html)
        styles = _STYLE_URL.sub(" ", sheet) + ";" + ";".join([attributes["style"] for _, attributes in found if "style" in attributes])
        styles = styles.lower()
        nodes = max(len([tag for tag, _ in found if tag not in {"html", "head", "meta"}]), 1)
        warnings = []
        tests = 0
        for feature, recognise in self._tests:
            if recognise is None:
                continue
            tests += 1
            count = recognise(found, styles, html)
            if count:
                warnings.append(self._warning(feature, count))
        partial = max([_weight(warning, "Partial", nodes) for warning in warnings], default=0.0)
        unsupported = max([_weight(warning, "Unsupported", nodes) for warning in warnings], default=0.0)
        partial, unsupported = min(partial, 100.0), min(unsupported, 100.0)
        warnings.sort(key=lambda warning: -(_weight(warning, "Partial", nodes) + _weight(warning, "Unsupported", nodes)))
        return {
            "Warnings": warnings,
            "Platforms": self._platforms(),
            "Total": {
                "Tests": tests,
                "Nodes": nodes,
                "Supported": _single(max(100 - partial - unsupported, 0.0)),
                "Partial": _single(partial),
                "Unsupported": _single(unsupported),
            },
        }

    def _platforms(self) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {}
        for feature in self._features:
            for family, platforms in feature["stats"].items():
                for platform in platforms:
                    found.setdefault(platform, set()).add(self._families.get(family, family))
        return {platform: sorted(families) for platform, families in sorted(found.items())}

    def _warning(self, feature: Mapping[str, Any], count: int) -> dict[str, Any]:
        results = [
            self._result(family, platform, version, support)
            for family, platforms in feature["stats"].items()
            for platform, versions in platforms.items()
            for version, support in versions.items()
        ]
        total = max(len(results), 1)
        shares = {kind: _single(sum(result["Support"] == kind for result in results) / total * 100) for kind in ("yes", "partial", "no")}
        return {
            "Slug": feature["slug"],
            "Title": feature["title"],
            "Description": _inline_markup(feature["description"] or ""),
            "URL": feature["url"],
            "Category": feature["category"],
            "Tags": feature["tags"] or [],
            "Keywords": "",
            "Results": results,
            "NotesByNumber": {number: _inline_markup(note) for number, note in feature["notes_by_num"].items()},
            "Score": {"Found": count, "Supported": shares["yes"], "Partial": shares["partial"], "Unsupported": shares["no"]},
        }

    def _result(self, family: str, platform: str, version: str, support: str) -> dict[str, str]:
        notes = re.findall(r"#(\d+)", support)
        return {
            "Name": f"{self._families.get(family, family)} {self._platform_names.get(platform, platform)} ({version})",
            "Platform": platform,
            "Family": family,
            "Version": version,
            "Support": {"y": "yes", "n": "no"}.get(support, "partial"),
            "NoteNumber": notes[-1] if notes else "",
        }


def _weight(warning: Mapping[str, Any], kind: str, nodes: int) -> float:
    score = warning["Score"]
    return float(score[kind]) * int(score["Found"]) / nodes


def _single(value: float) -> float:
    """Return the shortest number that is the same in single precision, as the program of this shape tells it."""
    wanted = struct.pack("f", value)
    return next((short for digits in range(1, 10) if struct.pack("f", short := float(f"{value:.{digits}g}")) == wanted), value)


def _inline_markup(text: str) -> str:
    """Return one line of Markdown as HTML: code and emphasis are all that occurs."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", re.sub(r"`([^`]+)`", r"<code>\1</code>", text))


_Recogniser = Callable[[Sequence[Element], str, str], int]


def _recogniser(slug: str) -> _Recogniser | None:
    """Return what counts a feature in elements, styles and document; None for what cannot be seen in text."""
    kind, _, name = slug.partition("-")
    if kind == "html":
        return _of_html(name)
    expression = _style_expression(name)
    if expression is None:
        return None
    pattern = re.compile(expression)
    return lambda _found, styles, _html: len(pattern.findall(styles))


def _of_html(name: str) -> _Recogniser:
    typed = _TYPED.fullmatch(name)
    if typed:
        return lambda found, _styles, _html: sum(
            tag == typed[1] and attributes.get("type", "text") == typed[2] for tag, attributes in found
        )
    if name in _ATTRIBUTES or name.startswith("aria-"):
        return lambda found, _styles, _html: sum(name in attributes for _, attributes in found)
    special: Mapping[str, _Recogniser] = {
        "loading-attribute": lambda found, _s, _h: sum("loading" in attributes for _, attributes in found),
        "anchor-links": lambda found, _s, _h: sum(attributes.get("href", "").startswith("#") for _, attributes in found),
        "mailto-links": lambda found, _s, _h: sum(attributes.get("href", "").lower().startswith("mailto:") for _, attributes in found),
        "meta-color-scheme": lambda found, _s, _h: sum(attributes.get("name") == "color-scheme" for _, attributes in found),
        "comments": lambda _f, _s, html: html.count("<!--"),
        "doctype": lambda _f, _s, html: int(html[:200].lstrip().lower().startswith("<!doctype")),
    }
    if name in special:
        return special[name]
    wanted = _GROUPS.get(name, frozenset({name}))
    return lambda found, _styles, _html: sum(tag in wanted for tag, _ in found)


def _style_expression(name: str) -> str | None:
    """Return what finds a feature of CSS in lower-cased styles."""
    word = re.escape(name)
    for prefix, before, after in (
        ("at-", "@", r"\b"),
        ("pseudo-class-", "(?<!:):", r"\b"),
        ("pseudo-element-", "::?", r"\b"),
        ("function-", r"\b", r"\("),
    ):
        if name.startswith(prefix):
            return before + re.escape(name.removeprefix(prefix)) + after
    if name.startswith("unit-"):
        unit = name.removeprefix("unit-")
        return r"[0-9]%" if unit == "percent" else r"[0-9]" + re.escape(unit) + r"\b"
    if name.startswith(("selector-", "variables", "nesting", "comments", "important")):
        return {"important": r"!\s*important", "variables": r"\bvar\("}.get(name)
    for keyword in _KEYWORDS:
        if name.startswith(f"{keyword}-") and name != "overflow-wrap":
            return rf"(?:^|[;{{\s]){keyword}\s*:\s*[^;}}]*\b{re.escape(name.removeprefix(keyword + '-'))}\b"
    return rf"(?:^|[;{{\s]){word}\s*:"
