"""What the server says of mailboxes, quota, rights and annotations, in Portuguese; see ``portuguese``.

Source:   RFC 5255 section 3.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["MAILBOX_TEXTS", "MAILBOX_WORDS"]

MAILBOX_WORDS: Final[Mapping[str, str]] = {
    "0, 1 or infinity": "0, 1 ou infinity",
    "MAXSIZE or DEPTH": "MAXSIZE ou DEPTH",
    "end of the list of parameters": "fim da lista de parâmetros",
    "entry name": "nome de anotação",
    "identifier": "identificador",
    "largest size": "maior tamanho",
    "limit": "limite",
    "list of entries and values": "lista de anotações e valores",
    "list of resources and limits": "lista de recursos e limites",
    "literal value": "valor literal",
    "number of mailboxes": "número de caixas",
    "number of messages": "número de mensagens",
    "quota root": "raiz de cota",
    "resource": "recurso",
    "rights": "direitos",
    "special use": "uso especial",
    "storage": "espaço de armazenamento",
    "value or NIL": "valor ou NIL",
}

MAILBOX_TEXTS: Final[Mapping[str, str]] = {
    "DEPTH is 0, 1 or infinity": "DEPTH é 0, 1 ou infinity",
    "a value with NUL is sent as ~{length}": "um valor com NUL é enviado como ~{length}",
    "an entry name has ASCII characters alone, {} at most": "um nome de anotação só tem caracteres ASCII, no máximo {}",
    "an entry name has at least two parts, four when the second is vendor": (
        "um nome de anotação tem ao menos duas partes, quatro quando a segunda é vendor"
    ),
    "an entry name is like /private/comment: no * or %, no empty part, /private or /shared first": (
        "um nome de anotação é como /private/comment: sem * nem %, sem parte vazia, com /private ou /shared no início"
    ),
    "no such option: {}": "não existe a opção: {}",
    "rights are lower-case letters and digits": "direitos são letras minúsculas e algarismos",
    "too many entries": "anotações demais",
    "too many resources": "recursos demais",
    "too many special uses": "usos especiais demais",
    "A value has at most {} bytes": "Um valor tem no máximo {} bytes",
    "At most {} entries may have a value here": "No máximo {} anotações podem ter valor aqui",
    "Getacl completed": "GETACL concluído",
    "Getmetadata completed": "GETMETADATA concluído",
    "Getquota completed": "GETQUOTA concluído",
    "Getquotaroot completed": "GETQUOTAROOT concluído",
    "INBOX has its use already": "INBOX já tem o seu uso",
    "Listrights completed": "LISTRIGHTS concluído",
    "Myrights completed": "MYRIGHTS concluído",
    "No such quota root": "Esta raiz de cota não existe",
    "Quotas are set by the administrator, in the settings of the server": (
        "Cotas são definidas pelo administrador, na configuração do servidor"
    ),
    "Rights cannot be changed: shared folders are not offered, each mailbox belongs to its owner alone": (
        "Direitos não podem ser mudados: não há pastas compartilhadas, cada caixa pertence só ao seu dono"
    ),
    "Setmetadata completed": "SETMETADATA concluído",
    "Shared entries of the server are set by the administrator": "Anotações comuns do servidor são definidas pelo administrador",
    "Special use {} is not known": "O uso especial {} não é conhecido",
    "Special use {} would show the messages of other mailboxes, which is not offered": (
        "O uso especial {} mostraria mensagens de outras caixas, o que não é oferecido"
    ),
    "Stays with the mailbox": "Fica com a caixa",
    "Your {*} has reached {} % of what is allowed: delete what you can spare": (
        "Seu {*} chegou a {} % do que é permitido: apague o que puder"
    ),
}
