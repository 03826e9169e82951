r"""Which mailboxes LIST and LSUB tell, and what of each. Pure: names and marks in, rows out.

Patterns are matched by following all possibilities at once, in time linear in
name times pattern; a regular expression could be made to backtrack for hours.

Sources:  RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258 (LIST-EXTENDED), RFC 3348
          (CHILDREN), RFC 6154 (SPECIAL-USE).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import MailboxInfo
from appliance.protocols.imap.commands import List, ListReturn, ListSelect, Lsub

__all__ = ["SEPARATOR", "Row", "compile_pattern", "list_rows", "lsub_rows"]

SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Row:
    """One LIST or LSUB response."""

    name: MailboxName
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    selectable: bool = True


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a test for names: ``*`` stands for anything, ``%`` for anything within one level."""
    # A run of wildcards with a star in it is a star, one of percents is a percent.
    symbols: list[str] = []
    for character in pattern:
        if character in "*%" and symbols and symbols[-1] in "*%":
            if character == "*":
                symbols[-1] = "*"
            continue
        symbols.append(character)
    if not set("*%").intersection(symbols):
        return lambda name: name == pattern
    return _compile_wildcards(symbols)


def _compile_wildcards(symbols: Sequence[str]) -> Callable[[str], bool]:
    """Return a test that follows all places in the pattern at once, each a bit: linear in the name, whatever the pattern."""
    letters: dict[str, int] = {}
    stars = percents = 0
    for place, symbol in enumerate(symbols):
        if symbol == "*":
            stars |= 1 << place
        elif symbol == "%":
            percents |= 1 << place
        else:
            letters[symbol] = letters.get(symbol, 0) | 1 << place
    wildcards = stars | percents
    final = 1 << len(symbols)

    def test(name: str) -> bool:
        # A wildcard may stand for nothing; no two of them are neighbours.
        places = 1 | (1 & wildcards) << 1
        for character in name:
            stays = stars if character == SEPARATOR else wildcards
            places = places & stays | (places & letters.get(character, 0)) << 1
            if not places:
                return False
            places |= (places & wildcards) << 1
        return bool(places & final)

    return test


def _parents(name: str) -> Iterator[MailboxName]:
    at = name.find(SEPARATOR)
    while at > 0:
        yield MailboxName(name[:at])
        at = name.find(SEPARATOR, at + 1)


def _any_pattern(reference: str, patterns: Iterable[str]) -> Callable[[str], bool]:
    tests = [compile_pattern(_normal(reference + pattern)) for pattern in patterns]
    return lambda name: any(test(name) for test in tests)


def _normal(pattern: str) -> str:
    first, separator, rest = pattern.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX else pattern


class _Tree:
    """All names there are, those of missing parents too, and who has children."""

    def __init__(self, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> None:
        self.infos = {info.name: info for info in infos}
        self.subscribed = frozenset(subscriptions)
        self.with_children = {parent for name in self.infos for parent in _parents(name)}
        self.with_subscribed_children = {parent for name in self.subscribed for parent in _parents(name)}
        known = {*self.infos, *self.with_children}
        # INBOX first, the rest as people sort.
        self.names = sorted(known, key=_order)


def _order(name: str) -> tuple[bool, str]:
    return name != INBOX, name


def list_rows(command: List, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> list[Row]:
    """Return what LIST tells, INBOX first."""
    tree = _Tree(infos, subscriptions)
    matches = _any_pattern(command.reference, command.patterns)
    by_subscription = ListSelect.SUBSCRIBED in command.select
    names = sorted({*tree.names, *tree.subscribed, *tree.with_subscribed_children}, key=_order) if by_subscription else tree.names
    # A parent that is told for its children's sake alone is told when they are not (RFC 5258 section 3.5).
    needed = {parent for name in tree.subscribed if not matches(name) for parent in _parents(name)}
    return [row for name in names if matches(name) and (row := _list_row(tree, name, command, needed=name in needed)) is not None]


def _list_row(tree: _Tree, name: MailboxName, command: List, *, needed: bool) -> Row | None:
    info = tree.infos.get(name)
    subscribed = name in tree.subscribed
    child_info: tuple[str, ...] = ()
    wanted = True
    if ListSelect.SUBSCRIBED in command.select:
        wanted = subscribed
        if ListSelect.RECURSIVEMATCH in command.select and name in tree.with_subscribed_children:
            child_info = ("SUBSCRIBED",)
    if ListSelect.SPECIAL_USE in command.select:
        wanted = wanted and info is not None and info.special_use is not None
    if not wanted and not (child_info and needed):
        return None
    attributes: list[str] = []
    if info is None or not info.selectable:
        attributes.append("\\NonExistent" if command.extended and info is None else "\\Noselect")
    attributes.append("\\HasChildren" if name in tree.with_children else "\\HasNoChildren")
    if subscribed and (ListReturn.SUBSCRIBED in command.returns or ListSelect.SUBSCRIBED in command.select):
        attributes.append("\\Subscribed")
    if info is not None and info.special_use is not None:
        attributes.append("\\" + info.special_use.value)
    return Row(name, tuple(attributes), child_info, selectable=info is not None and info.selectable)


def lsub_rows(command: Lsub, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> list[Row]:
    r"""Return what LSUB tells: subscribed names, gone or not, and with ``%`` their parents as ``\Noselect``."""
    tree = _Tree(infos, subscriptions)
    pattern = _normal(command.reference + command.pattern)
    matches = compile_pattern(pattern)
    rows: list[Row] = []
    names = {*tree.subscribed, *(tree.with_subscribed_children if "%" in pattern else ())}
    for name in sorted(names, key=_order):
        if not matches(name):
            continue
        info = tree.infos.get(name)
        usable = name in tree.subscribed and info is not None and info.selectable
        rows.append(Row(name, () if usable else ("\\Noselect",), selectable=usable))
    return rows
