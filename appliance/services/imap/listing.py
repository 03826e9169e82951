r"""Which mailboxes LIST and LSUB tell, and what of each. Pure: names and marks in, rows out.

Patterns are matched by following all possibilities at once, in time linear in
name times pattern; a regular expression could be made to backtrack for hours.

Sources:  RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258 (LIST-EXTENDED), RFC 3348
          (CHILDREN), RFC 6154 (SPECIAL-USE).
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from appliance.model.ids import INBOX, MailboxName
from appliance.model.mailbox import MailboxInfo
from appliance.protocols.imap.commands import List, ListReturn, ListSelect, Lsub

__all__ = ["SEPARATOR", "Row", "compile_pattern", "list_rows", "lsub_rows"]

SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Row:
    """One LIST or LSUB response. ``is_chosen`` False: told for its children's sake alone, so without STATUS (RFC 5819 section 2)."""

    name: MailboxName
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    selectable: bool = True
    is_chosen: bool = True


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
    """Return a test for names. INBOX matches in any case (RFC 9051 section 5.1)."""
    whole = [_normal(reference + pattern) for pattern in patterns]
    tests = [compile_pattern(pattern) for pattern in whole]
    with_inbox = any(compile_pattern(pattern.upper())(INBOX) for pattern in whole)
    return lambda name: any(test(name) for test in tests) or (with_inbox and name == INBOX)


def _normal(pattern: str) -> str:
    pattern = unicodedata.normalize("NFC", pattern)
    first, separator, rest = pattern.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX else pattern


class _Tree:
    """All mailboxes there are, what is subscribed, and who has children."""

    def __init__(self, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> None:
        self.infos = {info.name: info for info in infos if info.selectable}
        self.subscribed = frozenset(subscriptions)
        self.with_children = _above(self.infos)


def _above(names: Iterable[MailboxName]) -> set[MailboxName]:
    return {parent for name in names for parent in _parents(name)}


def _order(name: str) -> tuple[bool, str]:
    """INBOX first, the rest as people sort."""
    return name != INBOX, name


def list_rows(command: List, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> list[Row]:
    r"""Return what LIST tells, INBOX first.

    A name that is not chosen is told when something below is chosen and is not told itself: with
    RECURSIVEMATCH by its CHILDINFO, else, where there is no such mailbox, as ``\NonExistent``
    (RFC 5258 sections 3.5 and 5, example 11). A plain LIST tells all that match, as ``\Noselect``.
    """
    tree = _Tree(infos, subscriptions)
    chosen: set[MailboxName] = set(tree.subscribed if ListSelect.SUBSCRIBED in command.select else tree.infos)
    if ListSelect.SPECIAL_USE in command.select:
        chosen = {name for name in chosen if name in tree.infos and tree.infos[name].special_uses}
    matches = _any_pattern(command.reference, command.patterns)
    told = {name for name in chosen if matches(name)}
    needed = {name for name in _above(chosen - told) - told if matches(name)}
    recursive = ListSelect.RECURSIVEMATCH in command.select
    with_chosen = _above(chosen) if recursive else frozenset()
    if not command.extended:  # as a name that stays after DELETE (RFC 3501 section 6.3.4): clients build their trees from it
        needed = {name for name in tree.with_children - tree.infos.keys() if matches(name)}
    elif not recursive:
        needed = set() if ListSelect.SUBSCRIBED in command.select else needed - tree.infos.keys()
    return [
        Row(
            name,
            _attributes(tree, name, command),
            ("SUBSCRIBED",) if name in with_chosen else (),
            selectable=name in tree.infos,
            is_chosen=name in told,
        )
        for name in sorted(told | needed, key=_order)
    ]


def _attributes(tree: _Tree, name: MailboxName, command: List) -> tuple[str, ...]:
    """Say of a mailbox what was asked, and of one that is not there that it is not. A plain LIST is told all but subscriptions."""
    info = tree.infos.get(name)
    attributes: list[str] = []
    if info is None:
        attributes.append("\\NonExistent" if command.extended else "\\Noselect")
    if info is not None or name in tree.with_children or ListReturn.CHILDREN in command.returns:
        attributes.append("\\HasChildren" if name in tree.with_children else "\\HasNoChildren")
    if name in tree.subscribed and (ListReturn.SUBSCRIBED in command.returns or ListSelect.SUBSCRIBED in command.select):
        attributes.append("\\Subscribed")
    wants_uses = not command.extended or ListReturn.SPECIAL_USE in command.returns or ListSelect.SPECIAL_USE in command.select
    if info is not None and wants_uses:
        attributes += ["\\" + use.value for use in info.special_uses]
    return tuple(attributes)


def lsub_rows(command: Lsub, infos: Sequence[MailboxInfo], subscriptions: Iterable[MailboxName]) -> list[Row]:
    r"""Return what LSUB tells: subscribed names, gone or not, and with ``%`` their parents.

    ``\Noselect`` says here that a name is not subscribed itself (RFC 3501 section 6.3.9), nothing else.
    """
    tree = _Tree(infos, subscriptions)
    matches = _any_pattern(command.reference, [command.pattern])
    rows: list[Row] = []
    names = {*tree.subscribed, *(_above(tree.subscribed) if "%" in command.pattern else ())}
    for name in sorted(names, key=_order):
        if not matches(name):
            continue
        rows.append(Row(name, () if name in tree.subscribed else ("\\Noselect",), selectable=name in tree.infos))
    return rows
