"""Every setting, its unit and its reason. No other module reads the environment.

A setting ``NAME`` is the environment variable ``WXCHECK_NAME``, or a line in ``.env`` of the working directory.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from config.days import DAY
from config.misspelt import meant, misspelt
from config.redis_url import is_redis, plain

PREFIX = "WXCHECK_"

#: directory in which containers get secrets as files, named as the variable: ``/run/secrets/wxcheck_secret``
_SECRETS_DIR = Path("/run/secrets")

#: seconds; an unanswered call counts against the quota for its time-out longer, and the store's window is of fixed size
LONGEST_CALL = 38

#: calls a minute of one lane: the store counts up to 255 in each fortieth of a second (``store/quota/lane.lua``)
MOST_PER_MINUTE = 600_000
MOST_PER_DAY = MOST_PER_MINUTE * 24 * 60

#: longest time in seconds for which the store keeps a check, or its result
LONGEST_WAIT = 30 * DAY

Process = Literal["worker", "endpoint", "board", "any"]


class SettingsError(SystemExit):
    """The message lists every fault of the settings. Uncaught, the error stops the process."""


def _aes_key(value: SecretStr) -> SecretStr:
    """Check an EncodingAESKey: 43 characters that, with "=" appended, are the base64 of 32 bytes."""
    encoded = value.get_secret_value()
    try:
        key = base64.b64decode(encoded + "=", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(encoded) != 43 or len(key) != 32:
        raise ValueError("must be the 43 letters and digits of an EncodingAESKey")
    return value


def http_url(value: str) -> str:
    """Return ``value`` without a slash at its end. Raises ValueError if ``value`` is no http(s) URL."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http(s) URL")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    if not is_redis(value):
        raise ValueError("must be a redis:// or rediss:// URL")
    return plain(value)


def _broker_url(value: str) -> str:
    if value and urlsplit(value).scheme.split("+")[0] not in TRANSPORT_ALIASES:
        raise ValueError("must be the URL of a broker that kombu speaks: redis://…, amqp://…")
    return plain(value)


def _password(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 8:
        raise ValueError("must have 8 characters or more")
    return value


def is_loopback(host: str) -> bool:
    """True if only this machine reaches ``host``, a name or an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        if value.startswith(f"{PREFIX}COMPOSE_APPS_"):
            # docker-compose.yml hands this value to a service that must not see WXCHECK_APPS itself
            process = value.rpartition("_")[2].lower()
            said = f"set {value} to what `wxcheck config apps {process}` prints: it gets no AppSecret"
            raise ValueError(said) from None
        raise ValueError("must be JSON: {appid: {…}}") from None


AesKey = Annotated[SecretStr, AfterValidator(_aes_key)]
PerMinute = Annotated[int, Field(gt=0, le=MOST_PER_MINUTE)]
PerDay = Annotated[int, Field(gt=0, le=MOST_PER_DAY)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
AppId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
HttpUrl = Annotated[str, AfterValidator(http_url)]


class Overrides(BaseModel):
    """An entry of ``APPS``. A field left open is taken from the default Mini Program, except for the secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: AppSecret; not needed with ``TOKEN_SOURCE`` cloudbase or none, whose token comes from elsewhere
    secret: SecretStr | None = None
    #: Token of the message-push settings
    push_token: SecretStr | None = None
    #: EncodingAESKey of the message-push settings; once set, the endpoint refuses a push that is not encrypted
    push_aes_key: AesKey | None = None
    #: the previous EncodingAESKey, while a change of keys is under way
    push_aes_key_previous: AesKey | None = None
    #: takes plain pushes too while ``push_aes_key`` is set: for message push in plain mode, and while its mode changes
    push_plain_allowed: bool | None = None
    #: the third-party platform whose key encrypts the Mini Program's pushes, if there is one
    component_appid: AppId | None = None
    #: the message-push URL, if it is not the default URL followed by the appId; for wxcheck doctor
    push_url: HttpUrl | None = None
    #: quota of this appId: calls a minute and a day
    text_per_minute: PerMinute | None = None
    text_per_day: PerDay | None = None
    media_per_minute: PerMinute | None = None
    media_per_day: PerDay | None = None
    #: share of the day's quota that checks of low priority may not use
    day_reserve: Share | None = None


class MiniProgram(Overrides):
    """An appId with its secrets and quotas, nothing left open."""

    appid: AppId
    push_plain_allowed: bool
    text_per_minute: PerMinute
    text_per_day: PerDay
    media_per_minute: PerMinute
    media_per_day: PerDay
    day_reserve: Share = 0
    #: the rates that the appId's entry of ``APPS`` sets; a rate set for all appIds does not raise them
    own_rates: frozenset[str] = frozenset()

    @property
    def aes_keys(self) -> list[SecretStr]:
        """Return the keys that may encrypt a push, the current one first."""
        return [key for key in (self.push_aes_key, self.push_aes_key_previous) if key is not None]


#: the default Mini Program's own fields; no other Mini Program inherits them
_OWN = ("secret", "push_token", "push_aes_key", "push_aes_key_previous")
#: fields that an entry of ``APPS`` inherits
_SHARED = (
    "push_plain_allowed",
    "component_appid",
    "text_per_minute",
    "text_per_day",
    "media_per_minute",
    "media_per_day",
    "day_reserve",
)
#: the rates that an entry of ``APPS`` may set for itself
_RATES = ("text_per_minute", "media_per_minute")


#: fields that are or hold a secret: the message of a fault leaves out their value
_UNSPOKEN = (*_OWN, "board_password", "apps", "redis_url", "broker_url", "result_backend", "api_base")


class Settings(BaseSettings):
    """The settings of every process, checked. Use :func:`load_settings`, which names every fault at once."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,  # docker-compose hands over an unset variable as an empty string
        secrets_dir=_SECRETS_DIR if _SECRETS_DIR.is_dir() else None,  # pydantic warns of a missing directory
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    #: the store: tokens, parked checks, counters; this URL and the next two may hold a password
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field("redis://127.0.0.1:6379/0", repr=False)
    #: any broker that kombu speaks
    broker_url: Annotated[str, AfterValidator(_broker_url)] = Field("", repr=False)
    result_backend: Annotated[str, AfterValidator(plain)] = Field("", repr=False)
    #: URL of the platform
    api_base: HttpUrl = "https://api.weixin.qq.com"

    #: the Mini Program of a check that names none
    appid: AppId | None = None
    secret: SecretStr | None = None
    push_token: SecretStr | None = None
    push_aes_key: AesKey | None = None
    push_aes_key_previous: AesKey | None = None
    push_plain_allowed: bool = False
    component_appid: AppId | None = None
    #: more Mini Programs: ``{appid: {"secret": …, "push_token": …, …}}``
    apps: Annotated[dict[AppId, Overrides], NoDecode, BeforeValidator(_json)] = Field(default_factory=dict, repr=False)

    token_source: Literal["stable", "classic", "cloudbase", "none"] = "stable"
    #: file that holds the current cloudbase_access_token; WeChat's cloud hosting keeps it fresh
    cloudbase_token_file: Path | None = None

    #: quota of one appId: calls a minute and a day
    text_per_minute: PerMinute = 4_000
    text_per_day: PerDay = 2_000_000
    media_per_minute: PerMinute = 2_000
    media_per_day: PerDay = 200_000
    #: share of the day's quota that checks of low priority (a backfill) may not use: 0.2 leaves a fifth to users
    day_reserve: Share = 0

    #: seconds for one call to the platform, from connecting to the last byte of the answer
    api_timeout: Annotated[float, Field(gt=0, le=LONGEST_CALL, allow_inf_nan=False)] = 10
    #: number of retries of a failed call before the check fails with PlatformUnavailable
    api_retries: Annotated[int, Field(ge=0, le=100)] = 4
    #: seconds before the first retry; each further retry waits about twice as long, up to a minute
    retry_delay: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 1
    #: seconds to wait for a push; WeChat promises one within 30 minutes
    push_timeout: Annotated[float, Field(gt=0, le=LONGEST_WAIT, allow_inf_nan=False)] = 1860
    #: seconds that a v2 check may wait before it is sent (WeChat refuses users who were idle for 2 h); 0 = no bound
    max_age: Annotated[float, Field(ge=0, le=LONGEST_WAIT, allow_inf_nan=False)] = 6600

    #: days for which a check that failed for a mendable reason is kept to be replayed; 0 keeps none
    dead_letter_days: Annotated[float, Field(ge=0, le=366, allow_inf_nan=False)] = 7
    #: keeps the text or URL of such a check too; a check without its content is listed only
    dead_letter_content: bool = True

    #: address on which the callback endpoint listens
    callback_host: str = "127.0.0.1"
    callback_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    #: the message-push URL as set at mp.weixin.qq.com, for wxcheck doctor to ask; the URLs of further Mini Programs end
    #: in their appId
    push_url: HttpUrl | None = None

    #: format of the log's lines; auto: text on a terminal, else JSON
    log_format: Literal["auto", "json", "text"] = "auto"

    #: address on which the board listens; an address other than loopback needs a password
    board_host: str = "127.0.0.1"
    board_port: Annotated[int, Field(ge=0, le=65535)] = 8070
    #: the password that the board asks for; any user name will do
    board_password: Annotated[SecretStr, AfterValidator(_password)] | None = None

    #: file that a worker touches each second while it reaches the store: a health check that costs nothing
    heartbeat_file: Path | None = None

    _programs: dict[str, MiniProgram] = {}

    @model_validator(mode="after")
    def _derive(self) -> Settings:
        shared = {name: getattr(self, name) for name in _SHARED}
        if self.appid is not None:
            own = {name: getattr(self, name) for name in (*_OWN, "push_url")}
            self._programs[self.appid] = MiniProgram(appid=self.appid, **own, **shared)
        for appid, entry in self.apps.items():
            inherited = self._programs[appid].model_dump() if appid in self._programs else shared
            said = entry.model_dump(exclude_none=True)
            own_rates = frozenset(name for name in _RATES if name in said)
            self._programs[appid] = MiniProgram(**{**inherited, **said, "appid": appid, "own_rates": own_rates})
        return self

    @property
    def programs(self) -> dict[str, MiniProgram]:
        """Return every Mini Program by its appId, the default one first."""
        return self._programs

    @property
    def default_appid(self) -> str | None:
        """Return the Mini Program of a check that names none: ``APPID``, or the only entry of ``APPS``."""
        if self.appid is not None:
            return self.appid
        return next(iter(self._programs)) if len(self._programs) == 1 else None

    def push_url_of(self, program: MiniProgram, default: str | None = None) -> str | None:
        """Return the message-push URL of ``program``; ``default`` takes the place of ``PUSH_URL``."""
        base = default or self.push_url
        if program.appid == self.default_appid:
            return default or program.push_url or base
        return program.push_url or (f"{base}/{program.appid}" if base else None)

    @property
    def broker(self) -> str:
        return self.broker_url or self.redis_url

    @property
    def backend(self) -> str:
        return self.result_backend or self.redis_url

    @property
    def is_one_redis(self) -> bool:
        """True if store, broker and results are one Redis, so that the end of a check can be written in one step."""
        return self.redis_url == self.broker == self.backend

    def faults(self, process: Process) -> list[str]:
        """Return a message for each setting that ``process`` lacks and each variable of Celery that overrides ours."""
        faults = self._overridden()
        if process == "any":
            return faults
        if not self._programs:
            faults.append(f"{PREFIX}APPID is missing: set the Mini Program's appId (or {PREFIX}APPS for several)")
        for program in self._programs.values():
            where = PREFIX if program.appid == self.appid else f"{PREFIX}APPS.{program.appid}."
            needs_secret = self.token_source in ("stable", "classic")
            if process == "worker" and needs_secret and program.secret is None:
                faults.append(f"{_name(where, 'secret')} is missing: the AppSecret of {program.appid}")
            if process == "endpoint" and program.push_token is None:
                faults.append(f"{_name(where, 'push_token')} is missing: the Token of its message-push settings")
        if process == "board" and self.board_password is None and not is_loopback(self.board_host):
            faults.append(
                f"{PREFIX}BOARD_PASSWORD is missing: {self.board_host} can be reached from outside; set one, "
                f"or {PREFIX}BOARD_HOST=127.0.0.1"
            )
        if process == "worker" and self.token_source == "cloudbase" and self.cloudbase_token_file is None:
            faults.append(f"{PREFIX}CLOUDBASE_TOKEN_FILE is missing: {PREFIX}TOKEN_SOURCE=cloudbase reads it")
        return faults

    def _overridden(self) -> list[str]:
        """Return a message for each variable, probably an application's, that Celery would prefer to these settings."""
        ours = {
            "CELERY_BROKER_URL": self.broker,
            "CELERY_BROKER_READ_URL": self.broker,
            "CELERY_BROKER_WRITE_URL": self.broker,
            "CELERY_RESULT_BACKEND": self.backend,
        }
        return [
            f"{name} is set, and Celery would use it in place of {PREFIX}{name.removeprefix('CELERY_')}: unset it here"
            for name, url in ours.items()
            if os.environ.get(name) not in (None, "", url)
        ]


@cache
def load_settings(process: Process = "any", **said: Any) -> Settings:
    """Return the settings from the environment and ``.env``, checked for the needs of ``process``.

    Args:
        process: the process that is to start.
        said: field name -> value, from a command line; outranks the environment.

    Raises:
        SettingsError: with every fault in one message; no fault shows a secret's value.
    """
    faults: list[str] = []
    try:
        settings = Settings(**said)
    except ValidationError as error:
        settings, faults = _mend(error, said)
    except (OSError, UnicodeDecodeError, SourceError) as error:
        # the text of a decoding error quotes the bytes, which may be a secret
        why = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise SettingsError(f"wxcheck cannot start: .env or a file of secrets cannot be read: {why}") from None
    told = {fault.split(":")[0] for fault in faults}
    faults += misspelt(_names(), Settings.model_fields, PREFIX)
    faults += [fault for fault in settings.faults(process) if not _follows(fault, told)]
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise SettingsError(f"wxcheck cannot start, its settings are wrong:\n{listed}\nSee docs/settings.md.")
    return settings


def origins() -> dict[str, str]:
    """Return the source of each setting that is set, by its name: ``environment``, ``.env`` or ``secrets file``."""
    sources = {
        "secrets file": SecretsSettingsSource(Settings),
        ".env": DotEnvSettingsSource(Settings),
        "environment": EnvSettingsSource(Settings),
    }
    # a later source outranks an earlier one, as in the reading of the settings
    return {name: origin for origin, source in sources.items() for name in source() if name in Settings.model_fields}


def of_file() -> dict[str, str]:
    """Return the variables that ``.env`` of the working directory sets, for a process that runs elsewhere."""
    found = {}
    for name, value in DotEnvSettingsSource(Settings).env_vars.items():
        field = Settings.model_fields.get(name.upper().removeprefix(PREFIX).lower())
        if not name.upper().startswith(PREFIX) or field is None or not value:
            continue
        # a relative path holds only from this working directory
        found[name.upper()] = str(Path(value).absolute()) if field.annotation == Path | None else value
    return found


def _names() -> dict[str, dict[str, str | None]]:
    """Return the names and values in each source, by the words for the source."""
    directory = Settings.model_config.get("secrets_dir")
    files = sorted(os.listdir(str(directory))) if directory else []
    return {
        "in the environment": {name: value for name, value in os.environ.items() if value},
        "in .env": dict(DotEnvSettingsSource(Settings).env_vars),
        f"as a file in {directory}": dict.fromkeys(files, ""),
    }


def _mend(error: ValidationError, said: dict[str, Any]) -> tuple[Settings, list[str]]:
    """Return the settings with defaults in place of wrong values, and a line for each fault.

    The line shows the value only if the value can't be a secret.
    """
    lines, defaults = [], {}
    for fault in error.errors(include_url=False):
        field, *within = (str(part) for part in fault["loc"])
        defaults[field] = Settings.model_fields[field].get_default(call_default_factory=True)
        where = ".".join([PREFIX + field.upper(), *within])
        value = "" if field in _UNSPOKEN else f", not {str(fault['input'])[:40]!r}"
        why = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            why = f"is no setting{meant(within[-1], Overrides.model_fields)}"
        lines.append(f"{where}: {why}{value}")
    return Settings(**{**said, **defaults}), lines


def _follows(fault: str, told: set[str]) -> bool:
    """True if ``fault`` reports a setting as missing only because its wrong value was left out."""
    missing = fault.split(" ")[0]
    return missing in told or (missing == f"{PREFIX}APPID" and any(name.startswith(f"{PREFIX}APPS") for name in told))


def _name(where: str, field: str) -> str:
    return where + (field.upper() if where == PREFIX else field)
