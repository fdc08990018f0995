"""``wxcheck up``: the whole system on this machine until Ctrl-C, against the stand-in or the real platform."""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import NoReturn

from rich.console import Console

from config.settings import load_settings
from local.errors import LocalError
from local.interrupt import Interrupted, interruptible
from local.processes import ROOT
from local.stack import Stack, drop_celery_variables

#: seconds between two looks at whether every process still runs
_LOOK = 0.5


def run_up() -> int:
    """Runs redis (unless REDIS_URL is set), a worker, the endpoint, Flower, and the sandbox unless an appId is set.

    The exit code: 0 when it was ended by SIGINT or SIGTERM, 1 when a process failed. Nothing is left behind.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 132)
    os.chdir(ROOT)  # where every process is started: the .env that is read here must be the one that is read there
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
    console.print("wxcheck up: " + ("with a stand-in for WeChat's platform" if sandbox else settings.api_base))
    with Stack(settings, sandbox=sandbox, flower=True, tell=lambda step: console.print(f"  {step}")) as stack:
        for line in _overview(stack):
            console.print(line)
        while True:
            stack.check()
            time.sleep(_LOOK)


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
