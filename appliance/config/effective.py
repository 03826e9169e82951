"""What the settings come to once languages and empty values are filled in. Pure.

Domains and host names that follow from others are properties of ``Config``;
here is the rest: folder names, a user's addresses and format.

Sources: RFC 6154 section 2 (special use).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from appliance.config.schema import Config, MailConfig, UserConfig
from appliance.model.ids import AccountName
from appliance.model.mailbox import QuotaLimits, SpecialUse

__all__ = ["account_formats", "account_quotas", "banner", "folder_names", "hidden_capabilities", "postmaster_address", "user_addresses"]

_FOLDERS: Mapping[str, Mapping[SpecialUse, str]] = MappingProxyType(
    {
        "en": {
            SpecialUse.SENT: "Sent",
            SpecialUse.DRAFTS: "Drafts",
            SpecialUse.TRASH: "Trash",
            SpecialUse.JUNK: "Junk",
            SpecialUse.ARCHIVE: "Archive",
        },
        "pt": {
            SpecialUse.SENT: "Enviados",
            SpecialUse.DRAFTS: "Rascunhos",
            SpecialUse.TRASH: "Lixeira",
            SpecialUse.JUNK: "Spam",
            SpecialUse.ARCHIVE: "Arquivo",
        },
    }
)


def folder_names(mail: MailConfig) -> dict[SpecialUse, str]:
    """Return the folders that every account gets, by their use: own names where set, else those of the language."""
    own = {
        SpecialUse.SENT: mail.sent,
        SpecialUse.DRAFTS: mail.drafts,
        SpecialUse.TRASH: mail.trash,
        SpecialUse.JUNK: mail.junk,
        SpecialUse.ARCHIVE: mail.archive,
    }
    return {use: own[use] or name for use, name in _FOLDERS[mail.language].items()}


def user_addresses(config: Config, user: UserConfig) -> tuple[str, ...]:
    """Return the addresses of a user, the one to write from first."""
    return user.addresses or tuple(f"{user.name}@{domain}" for domain in config.mail_domains)


def account_formats(config: Config) -> dict[AccountName, Literal["maildir", "mbox"]]:
    """Return how each account's mail lies on disk: ``maildir`` or ``mbox``."""
    return {AccountName(user.name): user.format or config.mail.format for user in config.users}


def account_quotas(config: Config) -> dict[AccountName, QuotaLimits]:
    """Return what each account may use."""
    return {AccountName(user.name): QuotaLimits(user.quota_bytes, user.quota_messages, user.quota_mailboxes) for user in config.users}


def hidden_capabilities(config: Config) -> dict[AccountName, tuple[str, ...]]:
    """Return the IMAP capabilities that are not told to an account, where there are some."""
    return {AccountName(user.name): user.hide_capabilities for user in config.users if user.hide_capabilities}


def postmaster_address(config: Config) -> str:
    """Return the address that notifications name for help: always ``postmaster`` at the origin (RFC 5321 section 4.5.1)."""
    return f"postmaster@{config.effective_origin}"


def banner(config: Config) -> str:
    """Return the text after ``220`` in the SMTP greeting."""
    return f"{config.effective_hostname} {config.smtp.banner or 'ESMTP Carteiro'}"
