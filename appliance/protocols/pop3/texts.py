"""What POP3 says to people, in Portuguese; English stands where it is said.

A test reads the sources and finds each text here.
Source: RFC 6856 section 3 (LANG).
"""

from collections.abc import Mapping
from typing import Final

from appliance.protocols.language import STORE_TEXTS_PT

__all__ = ["PORTUGUESE"]

PORTUGUESE: Final[Mapping[str, str]] = {
    **STORE_TEXTS_PT,
    "A message number is needed": "Falta o número da mensagem",
    "A name or password holds characters that are not allowed": "O nome ou a senha tem caracteres que não são permitidos",
    "Authentication cancelled": "Autenticação cancelada",
    "Begin TLS negotiation": "Comece o TLS",
    "Bye": "Até logo",
    "Bye, {count} deleted": "Até logo, {count} apagadas",
    "Bye, {count} deleted here and kept for {days} days": "Até logo, {count} apagadas aqui e guardadas por {days} dias",
    "Capability list follows": "Segue a lista de capacidades",
    "Internal error, try again later": "Erro interno, tente mais tarde",
    "LANG needs one language tag": "LANG precisa de um código de idioma",
    "Language changed": "Idioma mudado",
    "Languages follow": "Seguem os idiomas",
    "Line too long": "Linha longa demais",
    "Log in first": "Entre primeiro com nome e senha",
    "Logged in": "Acesso concedido",
    "Logged in, {count} messages": "Acesso concedido, {count} mensagens",
    "Marked to be deleted": "Marcada para apagar",
    "Mechanisms follow": "Seguem os mecanismos",
    "Message follows": "Segue a mensagem",
    "Message {number} is gone, deleted by another program": "A mensagem {number} não existe mais, outro programa a apagou",
    "No such message": "Esta mensagem não existe",
    "Not valid base64": "Base64 inválido",
    "Password?": "Senha?",
    "Passwords are taken over TLS only: use STARTTLS (STLS) here, or SSL/TLS on port 995": (
        "Senhas só por TLS: use STARTTLS (STLS) aqui, ou SSL/TLS na porta 995"
    ),
    "STLS must come before UTF8": "STLS tem de vir antes de UTF8",
    "Some deleted messages were not removed": "Algumas mensagens apagadas não foram removidas",
    "TLS is already active": "O TLS já está ativo",
    "TLS is not available here": "Não há TLS aqui",
    "TOP needs a message number and a number of lines": "TOP precisa do número da mensagem e do número de linhas",
    "The maildrop is open in another session, try again later": "Outra sessão está com esta caixa aberta, tente mais tarde",
    "There is no such language here": "Este idioma não existe aqui",
    "This command takes no argument": "Este comando não tem argumento",
    "Too many arguments": "Argumentos demais",
    "Too many bad commands": "Comandos errados demais",
    "USER comes first": "USER vem primeiro",
    "USER needs a name": "USER precisa de um nome",
    "UTF8 enabled": "UTF8 ativado",
    "Unknown authentication mechanism": "Mecanismo de autenticação desconhecido",
    "Unknown command": "Comando desconhecido",
    "Wait {seconds} seconds between two logins": "Espere {seconds} segundos entre dois acessos",
    "Wrong user name or password": "Nome ou senha errados",
    "You are logged in already": "O acesso já foi concedido",
    "{count} octets": "{count} octetos",
}
