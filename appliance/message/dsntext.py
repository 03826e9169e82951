"""The words of a delivery report for the person who gets it, in English and Portuguese.

Owns the sentences: what happened, to whom, why, what to do. The reason is chosen by
the enhanced status code, the most particular first; the technical reply stands
below it as it came.

Sources: RFC 3463 and its registry (what the codes mean), RFC 3464 section 2.1 (a part for people).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from appliance.message.header import HeaderSection
from appliance.model.outcome import Outcome

__all__ = ["Language", "Words", "explanation", "language_of", "plain_date", "words"]

Language = Literal["en", "pt"]
_MAX_HEADER: Final = 65_536
_MAX_LANGUAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Words:
    """One language's fixed sentences. ``lead`` and ``close`` by kind; ``close`` may say ``{until}``."""

    sender_name: str
    subject: Mapping[str, str]
    lead: Mapping[str, str]
    close: Mapping[str, str]
    no_subject: str
    about: str
    server_said: str
    reported_by: str
    attached: Mapping[bool, str]
    date: str
    months: tuple[str, ...]
    reasons: Mapping[str, str]


_EN = Words(
    sender_name="Mail Delivery",
    subject={
        "failure": "Not delivered: {subject}",
        "delay": "Delayed, still trying: {subject}",
        "success": "Delivered: {subject}",
    },
    lead={
        "failure": "Your message was not delivered to:",
        "delay": "Your message has not been delivered yet. The server keeps trying; you need not send it again. It waits for:",
        "success": "Your message was delivered to:",
    },
    close={
        "failure": "Nothing more will be tried. Correct what is wrong and send the message again.",
        "delay": "If it cannot be delivered until {until}, you will get another report.",
        "success": "You asked for this confirmation. It does not mean that somebody has read the message.",
    },
    no_subject="(no subject)",
    about='The message: "{subject}", received here on {date}.',
    server_said="The server {mta} said:",
    reported_by="This report was written by the mail server {hostname}.",
    date="{day} {month} {year}, {time} UTC",
    months=("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
    attached={True: "Your message is attached.", False: "The header of your message is attached."},
    reasons={
        "5.1.1": "There is no mailbox with this address. Check it for typing errors.",
        "5.1.2": "This domain does not exist or takes no mail. Check the part after the @.",
        "5.1.3": "The address is not written correctly.",
        "5.1.10": "This domain says that it takes no mail. Check the part after the @.",
        "5.1.8": "The other server does not accept your sender address.",
        "5.1.6": "The recipient has moved and left no new address.",
        "5.2.1": "The mailbox is switched off.",
        "5.2.2": "The recipient's mailbox is full. Try later or reach them another way.",
        "5.2.3": "The message is larger than the recipient may get. Send a smaller one or a link to the file.",
        "5.3.4": "The message is too large for the other server. Send a smaller one or a link to the file.",
        "5.4.1": "The other server did not take part in the conversation.",
        "5.4.4": "No server for this domain could be found. Check the part after the @.",
        "5.4.6": "The message goes round in circles between servers: a forwarding points back to itself.",
        "5.4.7": "The server tried for days without success.",
        "5.6.7": "The address has letters beyond ASCII, and the other server cannot take such addresses.",
        "5.7.1": "The other server refuses the message, usually by its own rules or as suspected spam.",
        "5.7.10": "The connection could not be encrypted as it must be.",
        "5.7.26": "The other server could not verify that the message comes from your domain.",
        "5.1": "There is something wrong with the address.",
        "5.2": "There is something wrong with the recipient's mailbox.",
        "5.3": "The other server cannot take this message.",
        "5.4": "The other server could not be reached.",
        "5.5": "The two servers did not understand each other.",
        "5.6": "The other server cannot take this kind of content.",
        "5.7": "The other server refuses the message by its rules.",
        "5": "The other server refuses the message.",
        "4.2.2": "The recipient's mailbox is full at the moment.",
        "4.3.1": "The other server has no space left at the moment.",
        "4.4.1": "The other server does not answer at the moment.",
        "4.4.2": "The connection to the other server broke.",
        "4.4.3": "The name of the other server cannot be looked up at the moment.",
        "4.4.7": "The server tried for days without success.",
        "4.7.1": "The other server asks to wait, usually because it does not know this server yet.",
        "4.7": "The other server refuses for the time being.",
        "4": "The other server cannot take the message at the moment.",
        "2": "The message is in the mailbox.",
        "relayed": "The message was handed to a server that sends no confirmations.",
        "expanded": "The address is a list; the message was passed on to those who are on it.",
    },
)

_PT = Words(
    sender_name="Entrega de correio",
    subject={
        "failure": "Não entregue: {subject}",
        "delay": "Atrasada, continuamos a tentar: {subject}",
        "success": "Entregue: {subject}",
    },
    lead={
        "failure": "A sua mensagem não foi entregue a:",
        "delay": "A sua mensagem ainda não foi entregue. O servidor continua a tentar; não é preciso enviá-la de novo. Falta entregar a:",
        "success": "A sua mensagem foi entregue a:",
    },
    close={
        "failure": "Não haverá mais tentativas. Corrija o que está errado e envie a mensagem de novo.",
        "delay": "Se não puder ser entregue até {until}, receberá outro aviso.",
        "success": "Este aviso foi pedido por si. Não significa que alguém tenha lido a mensagem.",
    },
    no_subject="(sem assunto)",
    about='A mensagem: "{subject}", recebida aqui em {date}.',
    server_said="O servidor {mta} respondeu:",
    reported_by="Este aviso foi escrito pelo servidor de correio {hostname}.",
    date="{day} de {month} de {year}, {time} UTC",
    months=("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"),
    attached={True: "A sua mensagem segue em anexo.", False: "O cabeçalho da sua mensagem segue em anexo."},
    reasons={
        "5.1.1": "Não existe nenhuma caixa de correio com este endereço. Veja se não há erros de escrita.",
        "5.1.2": "Este domínio não existe ou não recebe correio. Verifique a parte depois do @.",
        "5.1.3": "O endereço não está bem escrito.",
        "5.1.10": "Este domínio declara que não recebe correio. Verifique a parte depois do @.",
        "5.1.8": "O outro servidor não aceita o seu endereço de remetente.",
        "5.1.6": "O destinatário mudou e não deixou novo endereço.",
        "5.2.1": "A caixa de correio está desativada.",
        "5.2.2": "A caixa de correio do destinatário está cheia. Tente mais tarde ou contacte-o de outra forma.",
        "5.2.3": "A mensagem é maior do que o destinatário pode receber. Envie uma menor ou uma ligação para o ficheiro.",
        "5.3.4": "A mensagem é grande demais para o outro servidor. Envie uma menor ou uma ligação para o ficheiro.",
        "5.4.1": "O outro servidor não respondeu como devia.",
        "5.4.4": "Não foi encontrado nenhum servidor para este domínio. Verifique a parte depois do @.",
        "5.4.6": "A mensagem anda às voltas entre servidores: um reencaminhamento aponta para si próprio.",
        "5.4.7": "O servidor tentou durante dias sem sucesso.",
        "5.6.7": "O endereço tem letras fora do ASCII, e o outro servidor não aceita endereços assim.",
        "5.7.1": "O outro servidor recusa a mensagem, em geral pelas suas regras ou por suspeita de spam.",
        "5.7.10": "A ligação não pôde ser cifrada como devia.",
        "5.7.26": "O outro servidor não conseguiu confirmar que a mensagem vem do seu domínio.",
        "5.1": "Há um problema com o endereço.",
        "5.2": "Há um problema com a caixa de correio do destinatário.",
        "5.3": "O outro servidor não pode receber esta mensagem.",
        "5.4": "Não foi possível chegar ao outro servidor.",
        "5.5": "Os dois servidores não se entenderam.",
        "5.6": "O outro servidor não pode receber este tipo de conteúdo.",
        "5.7": "O outro servidor recusa a mensagem pelas suas regras.",
        "5": "O outro servidor recusa a mensagem.",
        "4.2.2": "A caixa de correio do destinatário está cheia de momento.",
        "4.3.1": "O outro servidor não tem espaço de momento.",
        "4.4.1": "O outro servidor não responde de momento.",
        "4.4.2": "A ligação ao outro servidor caiu.",
        "4.4.3": "De momento não é possível encontrar o nome do outro servidor.",
        "4.4.7": "O servidor tentou durante dias sem sucesso.",
        "4.7.1": "O outro servidor pede para esperar, em geral por ainda não conhecer este servidor.",
        "4.7": "O outro servidor recusa por agora.",
        "4": "O outro servidor não pode receber a mensagem de momento.",
        "2": "A mensagem está na caixa de correio.",
        "relayed": "A mensagem foi passada a um servidor que não envia confirmações.",
        "expanded": "O endereço é uma lista; a mensagem seguiu para quem está nela.",
    },
)

_ALL: Mapping[str, Words] = {"en": _EN, "pt": _PT}


def words(language: Language) -> Words:
    """Return the sentences of a language."""
    return _ALL[language]


def language_of(header: bytes, usual: Language) -> Language:
    """Return the language to write to the author in: the first we know that the message says he reads, else that he wrote in.

    Source:   RFC 3282 sections 2 and 3, RFC 3461 section 6.2 (a text that its reader understands).
    """
    section = HeaderSection(header[:_MAX_HEADER])
    for name in (b"accept-language", b"content-language"):
        for one in (section.get(name) or b"").lower().split(b",")[:_MAX_LANGUAGES]:
            primary = one.split(b";")[0].strip().split(b"-")[0]
            if primary == b"pt":
                return "pt"
            if primary == b"en":
                return "en"
    return usual


def plain_date(seconds: float, language: Language) -> str:
    """Return a moment as people write it, in UTC."""
    said = _ALL[language]
    date = datetime.fromtimestamp(min(max(seconds, 0), 253_402_214_400), UTC)
    return said.date.format(day=date.day, month=said.months[date.month - 1], year=date.year, time=f"{date.hour:02d}:{date.minute:02d}")


def explanation(outcome: Outcome, language: Language) -> str:
    """Return why, for a person: by action where that says it, else by the closest status code."""
    reasons = _ALL[language].reasons
    if outcome.action.value in reasons:
        return reasons[outcome.action.value]
    for key in _closest(outcome.status):
        if key in reasons:
            return reasons[key]
    return reasons["5"]


def _closest(status: str) -> Sequence[str]:
    numbers = status.split(".")
    return [".".join(numbers[:length]) for length in range(len(numbers), 0, -1)]
