"""The trace of a message in plain words, English and Portuguese: first the answer, then what happened, step by step.

Owns the sentences, and which of many events is the answer: what became of each
recipient last. Pure.

Sources: RFC 3464 section 2.3 (what there is to say of a recipient).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.observe.trace import ATTEMPTS, TraceEvent

__all__ = ["TRACE_TEXTS", "Story", "answer", "headline", "query_words", "stories", "timeline"]

_ENGLISH: Final[Mapping[str, str]] = {
    "D": "Delivered to {to}: {why} at {at}",
    "S": "Delivered to {server} for {to} at {at}; they said {said}",
    "W": "Not delivered to {to} yet, it will be tried again: {server} said at {at}: {said}",
    "B": "Not delivered to {to}, returned at {at}: {said}",
    "E": "Passed on to a list for {to} at {at}",
    "A": "Accepted at {at} and waiting in the queue for its first try",
    "X": "Refused at {at}: {from_} to {to} was told {reply}",
    "H": "On hold since {at}: {reason}",
    "C": "An administrator did this at {at}: {change}",
    "N": "A notification about it",
    "G": "Deleted from {mailbox} of {user} at {at}",
    "gone": "{text}; deleted from {mailbox} of {user} at {at}",
    "V": "Another program took it out of {mailbox} of {user}, seen at {at}: deleted it, or put it into another folder",
    "vanished": "{text}; another program took it out of {mailbox} of {user}, seen at {at}: deleted it, or put it into another folder",
    "all.one": "{text}",
    "all.other": "Delivered to all {n} recipients; the last one: {text}",
    "some": "{text} ({done} of {n} recipients have it)",
    "step.A": "accepted from {client} with {size} bytes for {recipients}{checks}",
    "step.A.user": "accepted from {user} ({client}) with {size} bytes for {recipients}{checks}",
    "step.D": "delivered for {to}: {why}",
    "step.S": "taken by {relay} for {to}{tls}: {said}",
    "step.W": "put off by {relay} for {to}{tls}: {said}",
    "step.B": "refused by {relay} for {to}{tls}: {said}",
    "step.E": "passed on for {to}",
    "step.X": "refused at {stage} from {client}: {reply}",
    "step.H": "put aside ({state}): {reason}",
    "step.C": "an administrator: {change}",
    "step.G": "deleted for good from {mailbox} by {user} ({service} from {client})",
    "step.V": "taken out of {mailbox} of {user} by another program, which deleted it or put it into another folder",
    "step.N": "the sender {to} is told: {kind}, in message {queue_id}",
    "message": "Message {queue_id} from {from_}, subject: {subject}",
    "none": "Nothing is known of {query} in the last {days} days.",
    "no_subject": "(none)",
    "null": "the server itself",
    "with": " with {tls}",
    "recipients.one": "one recipient",
    "recipients.other": "{n} recipients",
    "checks": "; the checks found {verdicts}",
    "ours": "this server",
}
_PORTUGUESE: Final[Mapping[str, str]] = {
    "D": "Entregue a {to}: {why} às {at}",
    "S": "Entregue a {server} para {to} às {at}; a resposta foi {said}",
    "W": "Ainda não entregue a {to}, haverá nova tentativa: {server} respondeu às {at}: {said}",
    "B": "Não entregue a {to}, devolvida às {at}: {said}",
    "E": "Passada a uma lista para {to} às {at}",
    "A": "Aceita às {at} e à espera da primeira tentativa na fila",
    "X": "Recusada às {at}: {from_} para {to} recebeu a resposta {reply}",
    "H": "Retida desde {at}: {reason}",
    "C": "Um administrador fez isto às {at}: {change}",
    "N": "Uma notificação sobre ela",
    "G": "Apagada de {mailbox} de {user} às {at}",
    "gone": "{text}; apagada de {mailbox} de {user} às {at}",
    "V": "Outro programa a tirou de {mailbox} de {user}, visto às {at}: apagou-a ou passou-a a outra pasta",
    "vanished": "{text}; outro programa a tirou de {mailbox} de {user}, visto às {at}: apagou-a ou passou-a a outra pasta",
    "all.one": "{text}",
    "all.other": "Entregue a todos os {n} destinatários; o último: {text}",
    "some": "{text} ({done} de {n} destinatários já a têm)",
    "step.A": "aceita de {client} com {size} bytes para {recipients}{checks}",
    "step.A.user": "aceita de {user} ({client}) com {size} bytes para {recipients}{checks}",
    "step.D": "entregue para {to}: {why}",
    "step.S": "recebida por {relay} para {to}{tls}: {said}",
    "step.W": "adiada por {relay} para {to}{tls}: {said}",
    "step.B": "recusada por {relay} para {to}{tls}: {said}",
    "step.E": "passada adiante para {to}",
    "step.X": "recusada em {stage} de {client}: {reply}",
    "step.H": "posta de lado ({state}): {reason}",
    "step.C": "um administrador: {change}",
    "step.G": "apagada de vez de {mailbox} por {user} ({service} de {client})",
    "step.V": "tirada de {mailbox} de {user} por outro programa, que a apagou ou a passou a outra pasta",
    "step.N": "o remetente {to} é avisado: {kind}, na mensagem {queue_id}",
    "message": "Mensagem {queue_id} de {from_}, assunto: {subject}",
    "none": "Nada se sabe de {query} nos últimos {days} dias.",
    "no_subject": "(nenhum)",
    "null": "o próprio servidor",
    "with": " com {tls}",
    "recipients.one": "um destinatário",
    "recipients.other": "{n} destinatários",
    "checks": "; as verificações deram {verdicts}",
    "ours": "este servidor",
}
TRACE_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {"en": _ENGLISH, "pt": _PORTUGUESE}

_PROVIDERS: Final = (
    (".google.com", "Gmail"),
    (".googlemail.com", "Gmail"),
    (".protection.outlook.com", "Microsoft 365"),
    (".olc.protection.outlook.com", "Outlook.com"),
    (".yahoodns.net", "Yahoo"),
    (".icloud.com", "iCloud"),
    (".protonmail.ch", "Proton"),
    (".fastmail.com", "Fastmail"),
)
"""Hosts that people know by another name."""
_GONE: Final = {"G": "gone", "V": "vanished"}

When = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Story:
    """The events of one message, oldest first; a refusal at the door is one, too."""

    queue_id: str
    events: tuple[TraceEvent, ...]

    @property
    def began(self) -> TraceEvent | None:
        return next((event for event in self.events if event.kind == "A"), None)


def query_words(query: str) -> tuple[list[str], bool]:
    """Return the lower-case words that a line must have all of, and whether they must stand in a subject.

    Addresses, Message-IDs and queue ids are one word, looked for everywhere; more words, or one without ``@``, are a subject's.
    """
    words = query.lower().split()[:20]
    is_one_thing = len(words) == 1 and ("@" in words[0] or (words[0].isalnum() and any(character.isdigit() for character in words[0])))
    return [word.strip("<>") if is_one_thing else word for word in words], not is_one_thing


def stories(events: Sequence[TraceEvent]) -> list[Story]:
    """Return the messages of these events, the one that moved last first. A notification belongs to both messages."""
    found: dict[str, list[TraceEvent]] = {}
    for number, event in enumerate(events):
        key = event.queue_id if event.queue_id != "-" else f"-{number}"
        found.setdefault(key, []).append(event)
        if event.kind == "N" and event["about"] in found:
            found[event["about"]].append(event)
    made = [Story(key if not key.startswith("-") else "", tuple(mine)) for key, mine in found.items()]
    return sorted(made, key=lambda story: story.events[-1].at_s, reverse=True)


def answer(story: Story, language: str, when: When) -> str:
    """Return what became of a message, in a sentence."""
    texts = TRACE_TEXTS[language]
    last: dict[str, TraceEvent] = {}
    for event in story.events:
        if event.kind in ATTEMPTS:
            last[event["to"].lower()] = event
    began, newest = story.began, story.events[-1]
    if newest.kind in {"H", "C"} or not last:
        told = newest if newest.kind in {"H", "C", "X"} else began or newest
        return _sentence(texts, told.kind, told, when)
    expected = max(len(last), _number(began["nrcpt"]) if began is not None else 0)
    done = [event for event in last.values() if event.kind in {"D", "S", "E"}]
    troubled = [event for event in last.values() if event.kind in {"B", "W"}]
    told = max(troubled or done, key=lambda event: event.at_s)
    text = _sentence(texts, told.kind, told, when)
    if len(done) == expected:
        text = texts["all.one" if expected == 1 else "all.other"].format(text=text, n=expected)
        key = _GONE.get(newest.kind)
        return _sentence(texts, key, newest, when, text=text) if key else text
    return texts["some"].format(text=text, done=len(done), n=expected) if expected > 1 else text


def timeline(story: Story, language: str) -> list[tuple[float, str]]:
    """Return what happened, step by step: moments and words."""
    texts = TRACE_TEXTS[language]
    steps = []
    for event in story.events:
        key = f"step.{event.kind}"
        if event.kind == "A" and event["user"]:
            key += ".user"
        steps.append((event.at_s, texts[key].format(**_values(texts, event))))
    return steps


def headline(story: Story, language: str) -> str:
    """Return which message this is; empty for one that was refused at the door."""
    began = story.began
    if began is None:
        return story.queue_id
    texts = TRACE_TEXTS[language]
    return texts["message"].format(**_values(texts, began))


def _sentence(texts: Mapping[str, str], key: str, event: TraceEvent, when: When, **more: str) -> str:
    return texts[key].format(at=when(event.at_s), **_values(texts, event), **more)


def _values(texts: Mapping[str, str], event: TraceEvent) -> dict[str, str]:
    names = ("to", "client", "user", "size", "relay", "reason", "stage", "reply", "state", "change", "kind", "mailbox", "service")
    values = {name: event[name] for name in names}
    relay = event["relay"]
    values |= {
        "queue_id": event.queue_id,
        "from_": event["from"] or texts["null"],
        "subject": event["subject"] or texts["no_subject"],
        "said": event["diagnostic"] or event["reason"],
        "why": event["reason"],
        "server": _server(relay) or texts["ours"],
        "relay": relay if relay not in {"", "none", "local"} else texts["ours"],
        "tls": texts["with"].format(tls=event["tls"]) if event["tls"] else "",
        "recipients": texts["recipients.one" if event["nrcpt"] == "1" else "recipients.other"].format(n=event["nrcpt"]),
        "checks": texts["checks"].format(verdicts=event["verdicts"]) if event["verdicts"] else "",
    }
    return values


def _server(relay: str) -> str:
    host = relay.partition("[")[0].lower().rstrip(".")
    if host in {"", "none", "local"}:
        return ""
    return next((name for end, name in reversed(_PROVIDERS) if f".{host}".endswith(end)), host)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
