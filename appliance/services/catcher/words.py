"""Every word of the catcher's page, in English and Portuguese.

A test holds both tables to the same keys.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["LANGUAGES", "WORDS"]

_ENGLISH: Final = {
    "language": "English", "title": "Caught mail", "search": "Search", "search_hint": "Search: to:ana subject:reset is:unread has:attachment",
    "skip": "Skip to the message", "messages": "Messages", "all": "All", "unread": "unread", "none": "Nothing caught yet.",
    "none_hint": "Send a message to any address, and it appears here. Nothing leaves this machine.", "none_found": "Nothing matches this search.",
    "pick": "Choose a message", "pick_hint": "j and k walk, / searches, ? tells all keys.", "from": "From", "to": "To", "cc": "Cc", "bcc": "Bcc",
    "no_subject": "(no subject)", "no_sender": "(no sender)", "older": "Older", "newer": "Newer", "delete": "Delete", "delete_all": "Delete all",
    "delete_all_sure": "Delete every caught message?", "mark_unread": "Mark unread", "download": "Download .eml", "back": "Back to the list",
    "tab.html": "HTML", "tab.text": "Text", "tab.source": "Source", "tab.headers": "Headers", "tab.parts": "Parts", "tab.checks": "Checks",
    "tab.conversation": "Conversation", "tab.truth": "Truth", "attachments": "Attachments", "codes": "Codes", "links": "Links", "copy": "Copy",
    "copied": "Copied", "width": "Width", "width.full": "Full", "width.tablet": "Tablet", "width.phone": "Phone", "remote_off": "Pictures from elsewhere are off",
    "remote_on": "Pictures from elsewhere are on", "show_remote": "Show them", "hide_remote": "Hide them", "no_text": "This message has no text.",
    "no_html": "This message has no HTML.", "envelope": "Envelope", "header": "Header", "hidden": "blind copy: in the envelope, in no header field",
    "differs": "Differences", "same": "Envelope and header say the same.", "path_differs": "The envelope's sender is not the From of the header.",
    "null_sender": "The envelope's sender is empty: a notification.", "not_sent": "named in the header, not in the envelope: was not sent to",
    "client": "Client", "login": "Login", "none_word": "none", "protocol": "Protocol", "size": "Size", "sha256": "SHA-256 of the message as it came",
    "received": "Received", "no_conversation": "No conversation is known of this message.", "seconds": "s", "part": "Part", "type": "Type", "name": "Name",
    "html_support": "HTML support", "supported": "supported", "partly": "partly", "unsupported": "not supported", "not_fetched": "Nothing is fetched: links are only looked at.",
    "status": "Server", "api": "API", "theme": "Appearance", "theme.auto": "Automatic", "theme.light": "Light", "theme.dark": "Dark", "help": "Keys",
    "key.next": "next message", "key.previous": "previous message", "key.open": "open", "key.back": "back to the list", "key.search": "search",
    "key.delete": "delete", "key.unread": "mark unread", "key.tabs": "tabs", "close": "Close", "gone": "This message is gone.", "live": "live", "offline": "offline",
    "unsubscribe": "Unsubscribe", "replay": "Send it again",
}  # fmt: skip
_PORTUGUESE: Final = {
    "language": "Português", "title": "Mensagens capturadas", "search": "Buscar", "search_hint": "Buscar: to:ana subject:senha is:unread has:attachment",
    "skip": "Ir para a mensagem", "messages": "Mensagens", "all": "Todas", "unread": "não lidas", "none": "Nada capturado ainda.",
    "none_hint": "Envie uma mensagem a qualquer endereço, e ela aparece aqui. Nada sai desta máquina.", "none_found": "Nada corresponde a esta busca.",
    "pick": "Escolha uma mensagem", "pick_hint": "j e k andam, / busca, ? mostra todas as teclas.", "from": "De", "to": "Para", "cc": "Cc", "bcc": "Cco",
    "no_subject": "(sem assunto)", "no_sender": "(sem remetente)", "older": "Mais antigas", "newer": "Mais novas", "delete": "Apagar", "delete_all": "Apagar todas",
    "delete_all_sure": "Apagar todas as mensagens capturadas?", "mark_unread": "Marcar como não lida", "download": "Baixar .eml", "back": "Voltar à lista",
    "tab.html": "HTML", "tab.text": "Texto", "tab.source": "Fonte", "tab.headers": "Cabeçalhos", "tab.parts": "Partes", "tab.checks": "Verificações",
    "tab.conversation": "Conversa", "tab.truth": "Verdade", "attachments": "Anexos", "codes": "Códigos", "links": "Links", "copy": "Copiar",
    "copied": "Copiado", "width": "Largura", "width.full": "Inteira", "width.tablet": "Tablet", "width.phone": "Celular", "remote_off": "Imagens de fora estão desligadas",
    "remote_on": "Imagens de fora estão ligadas", "show_remote": "Mostrar", "hide_remote": "Esconder", "no_text": "Esta mensagem não tem texto.",
    "no_html": "Esta mensagem não tem HTML.", "envelope": "Envelope", "header": "Cabeçalho", "hidden": "cópia oculta: no envelope, em nenhum campo do cabeçalho",
    "differs": "Diferenças", "same": "Envelope e cabeçalho dizem o mesmo.", "path_differs": "O remetente do envelope não é o From do cabeçalho.",
    "null_sender": "O remetente do envelope é vazio: uma notificação.", "not_sent": "nomeado no cabeçalho, não no envelope: não foi enviado a",
    "client": "Cliente", "login": "Login", "none_word": "nenhum", "protocol": "Protocolo", "size": "Tamanho", "sha256": "SHA-256 da mensagem como veio",
    "received": "Recebida", "no_conversation": "Nenhuma conversa é conhecida desta mensagem.", "seconds": "s", "part": "Parte", "type": "Tipo", "name": "Nome",
    "html_support": "Suporte ao HTML", "supported": "com suporte", "partly": "em parte", "unsupported": "sem suporte", "not_fetched": "Nada é buscado: links são apenas olhados.",
    "status": "Servidor", "api": "API", "theme": "Aparência", "theme.auto": "Automática", "theme.light": "Clara", "theme.dark": "Escura", "help": "Teclas",
    "key.next": "próxima mensagem", "key.previous": "mensagem anterior", "key.open": "abrir", "key.back": "voltar à lista", "key.search": "buscar",
    "key.delete": "apagar", "key.unread": "marcar como não lida", "key.tabs": "abas", "close": "Fechar", "gone": "Esta mensagem não existe mais.", "live": "ao vivo", "offline": "sem conexão",
    "unsubscribe": "Cancelar inscrição", "replay": "Enviar de novo",
}  # fmt: skip
WORDS: Final[Mapping[str, Mapping[str, str]]] = {"en": _ENGLISH, "pt": _PORTUGUESE}
LANGUAGES: Final = tuple(WORDS)
