"""The state of a running sandbox."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from config.settings import MiniProgram
from sandbox.options import OptionError, Options
from sandbox.pushes import Pushes
from sandbox.quotas import Limits, Quotas
from sandbox.stats import Stats
from sandbox.tokens import Tokens
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wechat.token_calls import CLASSIC_TOKEN_PATH

#: most contents and URLs whose calls ``*n`` counts; the one longest unused is forgotten
COUNTED_CONTENTS = 10_000


class State:
    """One platform: its Mini Programs, and everything that calls change.

    Args:
        programs: by appId; not empty
        default_appid: the Mini Program of calls without an access token
        urls: push URL of each appId
        options: those of the start; :meth:`reset` returns to them
    """

    def __init__(
        self,
        programs: Mapping[str, MiniProgram],
        default_appid: str | None,
        urls: Mapping[str, str],
        options: Options,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.programs = programs
        self.default_appid = default_appid or next(iter(programs))
        self.clock = clock
        self._first_options = options
        self._require_keys(options)
        self.options = options
        self.stats = Stats()
        self.pushes = Pushes(programs, urls, lambda: self.options, lambda status: self.stats.pushed(status))
        self._forget()

    def change(self, changes: dict[str, Any]) -> None:
        """Change options.

        Raises:
            OptionError: unknown name, bad value, or a push mode that needs a key which is not there.
        """
        options = self.options.changed(changes)
        self._require_keys(options)
        self.options = options

    def reset(self) -> None:
        """Return to the state after the start: no tokens, calls, checks or pushes, and the first options."""
        self.options = self._first_options
        self.pushes.forget()
        self._forget()

    def turn(self, appid: str, kind: str, content: str) -> int:
        """Count this content. Return the number of times that it was counted before."""
        key = (appid, kind, hash(content))
        turn = self._turns.pop(key, 0)
        self._turns[key] = turn + 1
        if len(self._turns) > COUNTED_CONTENTS:
            self._turns.popitem(last=False)
        return turn

    def limits(self, appid: str, path: str) -> Limits:
        """Return the quota of ``appid`` for ``path``."""
        program, options = self.programs[appid], self.options
        if path == TEXT_PATH:
            return Limits(
                program.text_per_minute if options.text_per_minute is None else options.text_per_minute,
                program.text_per_day if options.text_per_day is None else options.text_per_day,
                options.burst_per_second,
            )
        if path == MEDIA_PATH:
            return Limits(
                program.media_per_minute if options.media_per_minute is None else options.media_per_minute,
                program.media_per_day if options.media_per_day is None else options.media_per_day,
                options.burst_per_second,
            )
        day = options.classic_token_per_day if path == CLASSIC_TOKEN_PATH else options.token_per_day
        return Limits(options.token_per_minute, day, minute_errcode=45011)

    def _forget(self) -> None:
        self.tokens = Tokens(self.clock)
        self.quotas = Quotas(self.clock)
        self.stats = Stats()
        self._turns: OrderedDict[tuple[str, str, int], int] = OrderedDict()

    def _require_keys(self, options: Options) -> None:
        if options.push_mode in ("compatible", "secure"):
            keyless = [program.appid for program in self.programs.values() if program.push_aes_key is None]
            if keyless:
                raise OptionError(
                    f"bad value for push_mode: {options.push_mode} needs an EncodingAESKey, and {', '.join(keyless)} "
                    "has none; set WXCHECK_PUSH_AES_KEY"
                )
