"""Search terms as a condition of SQL; values go beside it, never into it.

Sources: SQLite's ``instr``, which compares bytes: everything searched is kept in lower case.
"""

from collections.abc import Sequence

from appliance.model.caught import Term

__all__ = ["condition"]

_COLUMNS = {
    "text": ("text",),
    "to": ("recipient",),
    "from": ("sender",),
    "cc": ("cc",),
    "bcc": ("bcc",),
    "reply-to": ("reply_to",),
    "addressed": ("sender", "recipient", "cc", "bcc", "reply_to"),
    "subject": ("subject",),
    "message-id": ("message_id",),
}
_FLAGS = {
    "is:read": "m.read = 1",
    "is:unread": "m.read = 0",
    "is:tagged": "EXISTS (SELECT 1 FROM tag WHERE tag.number = m.number)",
    "has:attachment": "m.attachments > 0",
    "has:attachments": "m.attachments > 0",
    "has:inline": "m.inlines > 0",
    "has:inlines": "m.inlines > 0",
}
_PATHS = {
    "envelope-from": "coalesce(json_extract(m.envelope, '$.reverse_path'), '')",
    "envelope-to": "coalesce(json_extract(m.envelope, '$.recipients'), '')",
}
_COMPARED = {"larger": "m.size > ?", "smaller": "m.size < ?", "after": "m.created_ms > ?", "before": "m.created_ms < ?"}


def condition(terms: Sequence[Term]) -> tuple[str, list[object]]:
    """Return a condition on ``message m`` and its values."""
    wheres: list[str] = []
    values: list[object] = []
    for term in terms:
        where, more = _one(term)
        wheres.append(f"NOT ({where})" if term.negated else f"({where})")
        values += more
    return " AND ".join(wheres) or "1", values


def _one(term: Term) -> tuple[str, list[object]]:
    if term.key in _COLUMNS:
        columns = _COLUMNS[term.key]
        found = " OR ".join([f"instr({column}, ?) > 0" for column in columns])
        return f"m.number IN (SELECT number FROM words WHERE {found})", [term.value] * len(columns)
    if term.key in _COMPARED:
        return (_COMPARED[term.key], [term.number]) if term.number is not None else ("0", [])
    if term.key == "tag":
        return "EXISTS (SELECT 1 FROM tag WHERE tag.number = m.number AND tag.name = ?)", [term.value]
    if term.key == "envelope":
        paths = "coalesce(json_extract(m.envelope, '$.reverse_path'), '') || ' ' || coalesce(json_extract(m.envelope, '$.recipients'), '')"
        return f"instr(lower({paths}), ?) > 0", [term.value]
    if term.key == "recipient":
        inside = "m.number IN (SELECT number FROM words WHERE instr(recipient, ?) > 0 OR instr(cc, ?) > 0 OR instr(bcc, ?) > 0)"
        return f"{inside} OR instr(lower({_PATHS['envelope-to']}), ?) > 0", [term.value] * 4
    if term.key in _PATHS:
        return f"instr(lower({_PATHS[term.key]}), ?) > 0", [term.value]
    if term.key == "inbox":
        return "m.inbox = ? COLLATE NOCASE", [term.value]
    if term.key == "id":
        return "m.id = ? COLLATE NOCASE", [term.value]
    return _FLAGS.get(f"{term.key}:{term.value}", "0"), []
