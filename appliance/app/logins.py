"""Who may log in: puts the address book, the stored passwords and the limit on guesses together behind the ``Authenticator`` port.

Owns the order: refused addresses first, then a short memory of successful checks,
then Argon2 in a worker thread. An unknown name pays for a hash as well, so that time tells nothing.

Fails: never for what a client sends; None is the answer to everything wrong.
Does not: log (the session does, with its id) or speak SASL.

Sources: RFC 4616, RFC 5802, RFC 4954 section 9.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from appliance.config.schema import Config
from appliance.model.ids import AccountName
from appliance.model.ports import Clock, Offload, ScramKeys
from appliance.policy.bearer import TokenError, TokenReader
from appliance.policy.directory import ConfigDirectory
from appliance.policy.loginlimit import LoginLimit
from appliance.storage.accounts import PLAIN_PREFIX, decoy_hash, decoy_keys, scram_keys, scram_keys_for, verify_password

__all__ = ["DEV_ACCOUNT", "Accounts", "DevAccounts"]

DEV_ACCOUNT = AccountName("dev")

# A mail program that polls every minute pays for a hash every fifth minute.
_REMEMBERED_S = 300.0
_MAX_REMEMBERED = 1_000


class Accounts:
    """The logins of the settings file.

    ``tokens`` None: no logins with access tokens. ``offload`` should be bounded to ``login.argon2_parallel``: each check takes ``argon2_memory_kib``.
    ``server_secret``: 32 bytes that survive restarts; ``sleep``: ``trio.sleep``.
    """

    def __init__(
        self,
        config: Config,
        directory: ConfigDirectory,
        offload: Offload,
        clock: Clock,
        server_secret: bytes,
        sleep: Callable[[float], Awaitable[None]],
        tokens: TokenReader | None = None,
    ) -> None:
        self._offload = offload
        self._clock = clock
        self._secret = server_secret
        self._sleep = sleep
        self.tokens = tokens
        # Never leaves this process: what is remembered is useless to who reads our memory later.
        self._process_key = secrets.token_bytes(32)
        self._keys: dict[AccountName, ScramKeys] = {}
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._limit = LoginLimit(config.login.max_failures)
        self._take(config, directory)

    def reload(self, config: Config, directory: ConfigDirectory) -> None:
        """Use new settings; failures stay counted, remembered checks are forgotten."""
        self._limit.max_failures = config.login.max_failures
        self._take(config, directory)

    def _take(self, config: Config, directory: ConfigDirectory) -> None:
        self._directory = directory
        self._decoy = decoy_hash(config.login.argon2_memory_kib, secrets.token_bytes(16), secrets.token_bytes(32))
        self._stored = {AccountName(user.name): user.password for user in config.users}
        self._keys.clear()
        self._remembered.clear()

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        """Return the account, or None. Waits longer after each failure from the same address."""
        account = self._directory.account_of_login(login)
        if self._limit.is_refused(client_address, account, self._clock.monotonic_s()):
            await self._sleep(self._limit.delay_s(client_address, self._clock.monotonic_s()))
            return None
        if account is not None and await self._fits(account, password):
            self._limit.succeeded(client_address, account)
            return account
        if account is None or not self._is_hashed(account):
            await self._offload.run(verify_password, self._decoy, password)
        await self._failed(client_address)
        return None

    def _is_hashed(self, account: AccountName) -> bool:
        """Say whether a check of this account has just cost an Argon2 hash."""
        stored = self._stored[account]
        return bool(stored) and not stored.startswith(PLAIN_PREFIX)

    async def _fits(self, account: AccountName, password: str) -> bool:
        stored = self._stored[account]
        token = hmac.digest(self._process_key, f"{account}\0{stored}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        now_s = self._clock.monotonic_s()
        if self._remembered.get(token, now_s) > now_s:
            return True
        if stored.startswith(PLAIN_PREFIX):
            return verify_password(stored, password)
        fits = bool(stored) and await self._offload.run(verify_password, stored, password)
        if fits:
            self._remember(token, now_s + _REMEMBERED_S)
        return fits

    def _remember(self, token: bytes, until_s: float) -> None:
        self._remembered[token] = until_s
        self._remembered.move_to_end(token)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def scram_keys(self, login: str) -> ScramKeys:
        """Return the keys of a login; decoys for an unknown one and for one without keys. In memory."""
        account = self._directory.account_of_login(login)
        stored = self._stored.get(account, "") if account is not None else ""
        if account is not None and stored.startswith(PLAIN_PREFIX):
            if account not in self._keys:
                salt = decoy_keys(account, self._secret).salt
                self._keys[account] = scram_keys_for(stored.removeprefix(PLAIN_PREFIX), salt)
            return self._keys[account]
        return scram_keys(stored) or decoy_keys(login, self._secret)

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        """Return the account after a SCRAM exchange whose proof was right; count the failure otherwise."""
        account = self._directory.account_of_login(login)
        if self._limit.is_refused(client_address, account, self._clock.monotonic_s()):
            await self._sleep(self._limit.delay_s(client_address, self._clock.monotonic_s()))
            return None
        if proven and account is not None:
            self._limit.succeeded(client_address, account)
            return account
        await self._failed(client_address)
        return None

    def account_of_names(self, names: Sequence[str], wanted: str) -> AccountName | None:
        """Return the account of the first of a certificate's names that has one; with ``wanted``, of the first that this login means."""
        found = [account for account in map(self._directory.account_of_login, names) if account is not None]
        if wanted:
            found = [account for account in found if account == self._directory.account_of_login(wanted)]
        return found[0] if found else None

    async def check_token(self, token: str, wanted: str, client_address: str) -> tuple[AccountName | None, str]:
        """Return the account that an access token opens, and why none does.

        ``wanted``: a login of the same account, or ``""``. Waits longer after each failure from the same address.
        """
        account, reason = None, "access tokens are not taken"
        if self.tokens is not None:
            try:
                account = self._directory.account_of_login(self.tokens.login_of(token, self._clock.now_s()))
                reason = "" if account is not None else "the token's user has no account"
            except TokenError as error:
                reason = f"token: {error}"
        if account is not None and wanted and self._directory.account_of_login(wanted) != account:
            account, reason = None, f"{account} may not act as {wanted[:80]}"
        if self._limit.is_refused(client_address, account, self._clock.monotonic_s()):
            await self._sleep(self._limit.delay_s(client_address, self._clock.monotonic_s()))
            return None, "too many failures"
        if account is None:
            await self._failed(client_address)
        else:
            self._limit.succeeded(client_address, account)
        return account, reason

    async def _failed(self, client_address: str) -> None:
        await self._sleep(self._limit.failed(client_address, self._clock.monotonic_s()))


class DevAccounts:
    """The catcher's logins: every name and password is ``dev``. SCRAM cannot work so, and is not to be offered."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    async def check_password(self, login: str, password: str, client_address: str) -> AccountName | None:
        return DEV_ACCOUNT

    def scram_keys(self, login: str) -> ScramKeys:
        return decoy_keys(login, self._secret)

    async def finish_scram(self, login: str, proven: bool, client_address: str) -> AccountName | None:
        return DEV_ACCOUNT if proven else None
