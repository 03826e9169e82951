"""Every word of the web pages, in English and Portuguese, and how figures are written in each.

Owns the choice of language: ``?lang=``, then the browser's Accept-Language, then
the settings. A test holds both tables to the same keys and placeholders.

Sources: RFC 9110 section 12.5.4 (Accept-Language).
"""

import re
import time
from collections.abc import Mapping

__all__ = ["LANGUAGES", "TEXTS", "Words", "choose_language"]

_ENGLISH = {
    "language": "English",
    "languages": "Language",
    "skip": "Skip to content",
    "status": "Status",
    "up_for": "Up for {duration}",
    "all_well": "Everything works",
    "all_well_more": "Mail comes in, goes out and can be read.",
    "attention.one": "One thing needs your attention",
    "attention.other": "{n} things need your attention",
    "problem.disk_full": "The disk is full: {free} left. New mail is refused for now, senders will try again.",
    "problem.disk_full.fix": "Free some space on the disk that holds {directory}.",
    "problem.mail_disk_full": "The disk with the mailboxes is full: {free} left. New mail waits in the queue.",
    "problem.mail_disk_full.fix": "Free some space on the disk that holds {directory}.",
    "problem.disk_low": "The disk is nearly full: {free} left.",
    "problem.disk_low.fix": "Free some space on the disk that holds {directory}.",
    "problem.queue_stuck": "Mail in the queue has been due since {since} and is not being delivered.",
    "problem.queue_stuck.fix": "Look at the log; restarting the server is safe and loses nothing.",
    "problem.queue_corrupt": "Unreadable messages in the queue: {count}. They were put aside.",
    "problem.queue_corrupt.fix": "See: carteiro queue list",
    "problem.certificate_expired": "The certificate expired on {since}. Mail programs will refuse to connect.",
    "problem.certificate_expired.fix": "Put the renewed certificate in place; it is picked up without a restart.",
    "problem.certificate_expires": "The certificate expires on {at}.",
    "problem.certificate_expires.fix": "Renew it; the new file is picked up without a restart.",
    "problem.errors": "Errors in the last 24 hours: {count}.",
    "problem.errors.fix": "They are listed below.",
    "size": "Size",
    "queue": "Queue",
    "queue_empty": "The queue is empty.",
    "queue_waiting.one": "message on its way",
    "queue_waiting.other": "messages on their way",
    "queue_oldest": "The oldest came in {duration} ago.",
    "state.incoming": "incoming",
    "state.active": "being delivered",
    "state.deferred": "will be tried again",
    "state.hold": "on hold",
    "state.corrupt": "unreadable",
    "day": "Last 24 hours",
    "delivered": "delivered",
    "deferred": "deferred",
    "bounced": "bounced",
    "refused": "refused",
    "deferred.hint": "tried, to be tried again",
    "bounced.hint": "returned to their senders",
    "refused.hint": "not taken in",
    "day_none": "No mail in the last 24 hours.",
    "chart": "Mail per hour: {delivered} delivered, {deferred} deferred, {bounced} bounced, {refused} refused in 24 hours.",
    "chart_busiest": "The busiest hour began at {hour} with {n}.",
    "as_table": "Show the figures",
    "hour": "Hour",
    "now": "now",
    "disk": "Disk",
    "disk_free": "{free} free of {total}",
    "disk_used": "{percent} % used",
    "text_index": "Text index",
    "text_index_done": "{percent} % done",
    "text_index_of": "{n} of {total} messages {ago} ago, {size}",
    "text_index_full": "at its limit; the rest is searched in the mail itself",
    "certificate": "Certificate",
    "certificate_until": "Valid until {at}",
    "certificate_left.one": "{n} day left",
    "certificate_left.other": "{n} days left",
    "certificate_expired": "Expired on {at}",
    "certificate_none": "No certificate.",
    "certificate_own": "Made by this server's own authority: mail programs ask once whether to trust it.",
    "issued_by": "Issued by {issuer}",
    "mail": "Mail",
    "accounts.one": "account",
    "accounts.other": "accounts",
    "messages.one": "message kept",
    "messages.other": "messages kept",
    "listeners": "Services",
    "protocol": "Service",
    "address": "Address",
    "encryption": "Encryption",
    "tls.none": "none",
    "tls.starttls": "STARTTLS",
    "tls.implicit": "TLS",
    "listeners_none": "No service is listening.",
    "events": "Recent troubles",
    "events_none": "None since the server started.",
    "error": "error",
    "warning": "warning",
    "times": "{n} times",
    "event.auth_finished": "Login refused",
    "event.recipient_attempted": "Mail came back",
    "event.connection_refused": "Connection refused",
    "event.accept_failed": "Connections could not be accepted",
    "event.session_failed": "A session failed because of a bug",
    "event.request_failed": "A web page failed because of a bug",
    "event.expunge_failed": "Deleted mail could not be removed",
    "event.maildrop_unavailable": "A mailbox could not be opened",
    "event.message_unreadable": "A message could not be read",
    "event.login_unavailable": "Logins could not be checked",
    "event.imap_session_failed": "An IMAP session failed because of a bug",
    "event.intake_failed": "Mail could not be taken in",
    "event.mailboxes_not_flushed": "Delivered mail could not be written to the disk yet",
    "event.relay_tls_failed": "Encryption with another server failed",
    "event.certificate_rejected": "A new certificate cannot be used",
    "event.settings_rejected": "The changed settings have mistakes; the old ones stay",
    "event.message_refused": "Mail refused",
    "times_in": "Times are in {zone}.",
    "refreshes": "This page refreshes itself every minute.",
    "version": "Version {version}",
    "trace": "Where is my mail?",
    "trace_ask": "An address, a Message-ID, a queue id, or words of the subject",
    "trace_find": "Find",
    "trace_none": "Nothing is known of that.",
    "days.one": "1 day",
    "days.other": "{n} days",
}

_PORTUGUESE = {
    "language": "Português",
    "languages": "Idioma",
    "skip": "Ir para o conteúdo",
    "status": "Situação",
    "up_for": "No ar há {duration}",
    "all_well": "Tudo funciona",
    "all_well_more": "As mensagens chegam, saem e podem ser lidas.",
    "attention.one": "Um ponto precisa da sua atenção",
    "attention.other": "{n} pontos precisam da sua atenção",
    "problem.disk_full": "O disco está cheio: restam {free}. Novas mensagens são recusadas por enquanto; os remetentes tentarão de novo.",
    "problem.disk_full.fix": "Libere espaço no disco que contém {directory}.",
    "problem.mail_disk_full": "O disco das caixas de correio está cheio: restam {free}. Novas mensagens esperam na fila.",
    "problem.mail_disk_full.fix": "Libere espaço no disco que contém {directory}.",
    "problem.disk_low": "O disco está quase cheio: restam {free}.",
    "problem.disk_low.fix": "Libere espaço no disco que contém {directory}.",
    "problem.queue_stuck": "Há mensagens na fila que deveriam ter saído desde {since} e não estão sendo entregues.",
    "problem.queue_stuck.fix": "Veja o registro; reiniciar o servidor é seguro e nada se perde.",
    "problem.queue_corrupt": "Mensagens ilegíveis na fila: {count}. Elas foram postas de lado.",
    "problem.queue_corrupt.fix": "Veja: carteiro queue list",
    "problem.certificate_expired": "O certificado venceu em {since}. Os programas de e-mail vão recusar a conexão.",
    "problem.certificate_expired.fix": "Instale o certificado renovado; ele é lido sem reiniciar.",
    "problem.certificate_expires": "O certificado vence em {at}.",
    "problem.certificate_expires.fix": "Renove-o; o novo arquivo é lido sem reiniciar.",
    "problem.errors": "Erros nas últimas 24 horas: {count}.",
    "problem.errors.fix": "Eles estão listados abaixo.",
    "size": "Tamanho",
    "queue": "Fila",
    "queue_empty": "A fila está vazia.",
    "queue_waiting.one": "mensagem a caminho",
    "queue_waiting.other": "mensagens a caminho",
    "queue_oldest": "A mais antiga chegou há {duration}.",
    "state.incoming": "chegando",
    "state.active": "em entrega",
    "state.deferred": "nova tentativa depois",
    "state.hold": "retidas",
    "state.corrupt": "ilegíveis",
    "day": "Últimas 24 horas",
    "delivered": "entregues",
    "deferred": "adiadas",
    "bounced": "devolvidas",
    "refused": "recusadas",
    "deferred.hint": "tentadas, serão tentadas de novo",
    "bounced.hint": "voltaram ao remetente",
    "refused.hint": "não aceitas",
    "day_none": "Nenhuma mensagem nas últimas 24 horas.",
    "chart": "Mensagens por hora: {delivered} entregues, {deferred} adiadas, {bounced} devolvidas, {refused} recusadas em 24 horas.",
    "chart_busiest": "A hora mais movimentada começou às {hour}, com {n}.",
    "as_table": "Mostrar os números",
    "hour": "Hora",
    "now": "agora",
    "disk": "Disco",
    "disk_free": "{free} livres de {total}",
    "disk_used": "{percent} % usado",
    "text_index": "Índice de texto",
    "text_index_done": "{percent} % pronto",
    "text_index_of": "{n} de {total} mensagens há {ago}, {size}",
    "text_index_full": "no limite; o resto é procurado nas próprias mensagens",
    "certificate": "Certificado",
    "certificate_until": "Válido até {at}",
    "certificate_left.one": "falta {n} dia",
    "certificate_left.other": "faltam {n} dias",
    "certificate_expired": "Venceu em {at}",
    "certificate_none": "Sem certificado.",
    "certificate_own": "Emitido pela autoridade deste servidor: os programas de e-mail perguntam uma vez se confiam nele.",
    "issued_by": "Emitido por {issuer}",
    "mail": "E-mail",
    "accounts.one": "conta",
    "accounts.other": "contas",
    "messages.one": "mensagem guardada",
    "messages.other": "mensagens guardadas",
    "listeners": "Serviços",
    "protocol": "Serviço",
    "address": "Endereço",
    "encryption": "Criptografia",
    "tls.none": "nenhuma",
    "tls.starttls": "STARTTLS",
    "tls.implicit": "TLS",
    "listeners_none": "Nenhum serviço à escuta.",
    "events": "Problemas recentes",
    "events_none": "Nenhum desde que o servidor iniciou.",
    "error": "erro",
    "warning": "aviso",
    "times": "{n} vezes",
    "event.auth_finished": "Login recusado",
    "event.recipient_attempted": "Mensagem devolvida",
    "event.connection_refused": "Conexão recusada",
    "event.accept_failed": "Conexões não puderam ser aceitas",
    "event.session_failed": "Uma sessão falhou por um defeito do programa",
    "event.request_failed": "Uma página falhou por um defeito do programa",
    "event.expunge_failed": "Mensagens apagadas não puderam ser removidas",
    "event.maildrop_unavailable": "Uma caixa postal não pôde ser aberta",
    "event.message_unreadable": "Uma mensagem não pôde ser lida",
    "event.login_unavailable": "Logins não puderam ser verificados",
    "event.imap_session_failed": "Uma sessão IMAP falhou por um defeito do programa",
    "event.intake_failed": "Mensagens não puderam ser recebidas",
    "event.mailboxes_not_flushed": "Mensagens entregues ainda não puderam ser gravadas no disco",
    "event.relay_tls_failed": "A criptografia com outro servidor falhou",
    "event.certificate_rejected": "O novo certificado não pode ser usado",
    "event.settings_rejected": "A configuração alterada tem erros; vale a anterior",
    "event.message_refused": "Mensagem recusada",
    "times_in": "Horários em {zone}.",
    "refreshes": "Esta página se atualiza a cada minuto.",
    "version": "Versão {version}",
    "trace": "Onde está a minha mensagem?",
    "trace_ask": "Um endereço, um Message-ID, uma identificação da fila ou palavras do assunto",
    "trace_find": "Procurar",
    "trace_none": "Nada se sabe disso.",
    "days.one": "1 dia",
    "days.other": "{n} dias",
}

TEXTS: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "pt": _PORTUGUESE}
LANGUAGES = tuple(TEXTS)
_ACCEPTED = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST_ACCEPTED = 30


def choose_language(asked: str, accepted: str, default: str) -> str:
    """Return ``en`` or ``pt``. ``asked``: from the query; ``accepted``: the browser's Accept-Language."""
    if asked in TEXTS:
        return asked
    best, best_quality = "", 0.0
    for part in accepted.split(",", _MOST_ACCEPTED)[:_MOST_ACCEPTED]:
        found = _ACCEPTED.fullmatch(part)
        if found is None:
            continue
        quality = float(found[2]) if found[2] else 1.0
        if found[1].lower() in TEXTS and quality > best_quality:
            best, best_quality = found[1].lower(), quality
    return best or (default if default in TEXTS else "en")


class Words:
    """The texts of one language; templates know it as ``t``."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = TEXTS[language]

    def __call__(self, key: str, **values: object) -> str:
        return self._texts[key].format(**values) if values else self._texts[key]

    def maybe(self, key: str) -> str:
        """Return the text, ``""`` when there is none."""
        return self._texts.get(key, "")

    def count(self, key: str, n: int) -> str:
        """Return the form of a text that fits the number."""
        return self._texts[f"{key}.one" if n == 1 else f"{key}.other"].format(n=self.number(n))

    def number(self, n: float) -> str:
        """Write a whole number with its thousands apart: 12,345 or 12.345."""
        text = f"{round(n):,}"
        return text if self.language == "en" else text.replace(",", ".")

    def size(self, size_bytes: float) -> str:
        """Write a size in the unit people say: 820 B, 4.2 kB, 31 GB."""
        value = float(size_bytes)
        unit = "B"
        for larger in ("kB", "MB", "GB", "TB", "PB"):
            if value < 1_000:
                break
            value, unit = value / 1_000, larger
        text = f"{value:.1f}" if unit != "B" and value < 10 else f"{value:.0f}"
        return f"{text if self.language == 'en' else text.replace('.', ',')}\u00a0{unit}"

    def duration(self, seconds: float) -> str:
        """Write a span in its two largest units: 3 days 4 h, 2 h 5 min, 40 s."""
        left = max(0, int(seconds))
        days, left = divmod(left, 86_400)
        hours, left = divmod(left, 3_600)
        minutes, rest = divmod(left, 60)
        if days:
            return f"{self.count('days', days)} {hours}\u00a0h" if hours and days < 10 else self.count("days", days)
        if hours:
            return f"{hours}\u00a0h {minutes}\u00a0min" if minutes else f"{hours}\u00a0h"
        return f"{minutes}\u00a0min" if minutes else f"{rest}\u00a0s"

    def date(self, at_s: float) -> str:
        """Write a day in the server's time zone, readable in both languages."""
        return time.strftime("%Y-%m-%d", time.localtime(at_s))

    def moment(self, at_s: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))

    def iso(self, at_s: float) -> str:
        """Write a moment for machines, in UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))

    def clock(self, at_s: float) -> str:
        return time.strftime("%H:%M", time.localtime(at_s))

    def zone(self, at_s: float) -> str:
        """Name the server's time zone: UTC-03:00."""
        offset = time.strftime("%z", time.localtime(at_s))
        return "UTC" if offset in {"", "+0000"} else f"UTC{offset[:3]}:{offset[3:]}"
