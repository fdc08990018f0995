"""``wxcheck up``: the whole system on this machine until Ctrl-C, against the stand-in or the real platform."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from rich.console import Console

from config.settings import load_settings
from ops.local.errors import LocalError
from ops.local.interrupt import Interrupted, interruptible
from ops.local.stack import Stack, drop_celery_variables

if TYPE_CHECKING:
    from config.settings import Settings

#: WeChat's own host
REAL = "api.weixin.qq.com"
#: seconds between two looks at the processes
_LOOK = 0.5


def run_up() -> int:
    """Run Redis (unless REDIS_URL is set), a worker, the endpoint, Flower, and the sandbox unless an appId is set.

    Returns the exit code: 0 after SIGINT or SIGTERM, 1 after the failure of a process. Nothing is left behind.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 132)
    try:
        with interruptible():
            return _run(console)
    except Interrupted as interrupted:
        console.print(f"{interrupted.signal.name}: every process that was started has ended")
        return 0
    except LocalError as error:
        console.print(f"wxcheck up: {error}")
        return 1


def _run(console: Console) -> NoReturn:
    drop_celery_variables()
    settings = load_settings()
    sandbox = not settings.programs
    console.print(f"wxcheck up: {_against(settings)}")
    with Stack(settings, sandbox=sandbox, flower=True, tell=lambda step: console.print(f"  {step}")) as stack:
        for line in _overview(stack):
            console.print(line)
        while True:
            stack.check()
            time.sleep(_LOOK)


def _against(settings: Settings) -> str:
    """Return the sentence on the platform that the system will call, real or not, and on the settings behind it."""
    file = Path(".env").absolute()
    read = f"the environment and {file}" if file.is_file() else f"the environment; there is no {file}"
    if not settings.programs:
        return f"against a stand-in for WeChat's platform, for no appId is set ({read})"
    is_real = urlsplit(settings.api_base).hostname == REAL
    which = f"the real platform, {settings.api_base}" if is_real else f"the platform at {settings.api_base}"
    return f"against {which}, for {', '.join(settings.programs)} ({read})"


def _overview(stack: Stack) -> list[str]:
    lines = [
        "",
        f"  endpoint   {stack.endpoint_url}/wechat/push",
        f"  flower     {stack.flower_url}",
        f"  redis      {stack.redis_url}",
    ]
    if stack.sandbox_url is not None:
        lines.append(f"  sandbox    {stack.sandbox_url}/sandbox/options")
    if stack.environment:
        lines += ["", "An application, or one more process, joins with:", ""]
        lines += [f"  export {name}={shlex.quote(value)}" for name, value in stack.environment.items()]
    return [*lines, "", f"The logs are in {stack.processes.directory} until the end. Ctrl-C ends it all."]


if __name__ == "__main__":
    raise SystemExit(run_up())
