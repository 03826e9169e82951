"""The catcher's SMTP logins: any name and any password will do, and the name is remembered."""

from appliance.app.logins import DevAccounts
from appliance.model.ids import AccountName

__all__ = ["SenderLogins"]


class SenderLogins(DevAccounts):
    """SMTP: any login, with any password, is remembered as it was given."""

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        return AccountName(login)
