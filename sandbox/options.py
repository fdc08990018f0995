"""The options of a running sandbox, with their defaults.

Given at start (``--option fault_busy=0.1``) or later (``PATCH /sandbox/options`` with ``{"fault_busy": 0.1}``).
A share is the part of all calls or pushes, 0 to 1, that an option befalls, drawn at random.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from config.days import DAY

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=DAY)]


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("must be [min, max], the smaller first")
    return span


Span = Annotated[tuple[Seconds, Seconds], AfterValidator(_ordered)]


class OptionError(ValueError):
    """An option that does not exist, or a value that it does not take. The message names it."""


class Options(BaseModel):
    """All options. Immutable: :meth:`changed` makes the next ones, so that a thread never sees half a change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # -- access ------------------------------------------------------------------------------------------------------
    token_seconds: Annotated[int, Field(ge=1, le=DAY)] = Field(7200, description="lifetime of an access token")
    token_overlap_seconds: Seconds = Field(
        300,
        description="end of a token's life in which it is renewed; both tokens then live as long (half a life at most)",
    )
    ip_refused: bool = Field(False, description="the token endpoints answer 40164")
    cloudbase_token: SecretStr | None = Field(None, description="what `cloudbase_access_token` has to be")
    open_interface: bool = Field(False, description="checks and quota/get need no token (cloud hosting)")

    # -- quotas of one appId -----------------------------------------------------------------------------------------
    text_per_minute: Count | None = Field(None, description="null: as the Mini Program's settings say")
    text_per_day: Count | None = Field(None, description="null: as the Mini Program's settings say")
    media_per_minute: Count | None = Field(None, description="null: as the Mini Program's settings say")
    media_per_day: Count | None = Field(None, description="null: as the Mini Program's settings say")
    burst_per_second: Count | None = Field(None, description="calls of one kind a second before 44990; null: no limit")
    token_per_minute: Count = Field(10_000, description="calls of each token endpoint, and of quota/get")
    token_per_day: Count = Field(500_000, description="calls of stable_token, and of quota/get")
    classic_token_per_day: Count = Field(2_000, description="calls of /cgi-bin/token")

    # -- answers -----------------------------------------------------------------------------------------------------
    answer_seconds: Span = Field((0, 0), description="[min, max] before a check is answered")
    camel_case: bool = Field(False, description="errCode, errMsg, traceId, as cloud calls answer")
    string_labels: bool = Field(False, description="labels in answers, and all numbers in JSON pushes, as strings")

    # -- faults of the two checks ------------------------------------------------------------------------------------
    fault_busy: Share = Field(0, description="share of checks answered -1")
    fault_http: Share = Field(0, description="share answered 502 with an HTML page")
    fault_reset: Share = Field(0, description="share whose connection is closed without an answer")
    fault_reset_taken: bool = Field(False, description="a media check that `fault_reset` befalls is taken all the same")
    fault_slow: Share = Field(0, description="share answered `slow_seconds` late")
    slow_seconds: Seconds = Field(12, description="see `fault_slow`")
    fault_token: Share = Field(0, description="share of calls to the token endpoints answered -1")

    # -- pushes ------------------------------------------------------------------------------------------------------
    push_mode: Literal["auto", "plain", "compatible", "secure"] = Field(
        "auto", description="auto: secure where the Mini Program has an EncodingAESKey, else plain"
    )
    push_format: Literal["json", "xml"] = Field("json", description="of the message and of its envelope")
    push_delay: Span = Field((0.1, 0.5), description="[min, max] seconds from the answer to the push")
    push_attempts: Annotated[int, Field(ge=1, le=100)] = Field(3, description="until one is answered 200")
    push_retry_seconds: Seconds = Field(5, description="between two attempts")
    push_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        5, description="to wait for the answer to a push"
    )
    push_repeat: Share = Field(0, description="share of verdicts pushed twice")
    push_lost: Share = Field(0, description="share never pushed")
    push_early: Share = Field(0, description="share pushed, and that answered, before the check itself is answered")

    def changed(self, changes: dict[str, Any]) -> Options:
        """Return the options with ``changes``.

        Raises:
            OptionError: unknown name or bad value; none of the changes is made.
        """
        unknown = sorted(set(changes) - set(Options.model_fields))
        if unknown:
            raise OptionError(f"unknown option {', '.join(unknown)}; there are: {', '.join(Options.model_fields)}")
        try:
            return Options.model_validate({**{name: getattr(self, name) for name in Options.model_fields}, **changes})
        except ValidationError as error:
            faults = (
                f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise OptionError("bad value for " + "; ".join(faults)) from None


def parse_option(argument: str) -> tuple[str, Any]:
    """Read ``name=value`` of the command line. The value is JSON if it reads as JSON, else a string.

    Raises:
        OptionError: there is no ``=`` in it.
    """
    name, equals, value = argument.partition("=")
    if not equals:
        raise OptionError(f"--option takes name=value, not {name!r}")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value
