"""``wxcheck.check_text``: a text, answered at once."""

from __future__ import annotations

from typing import Any

from tasks.check import CheckTask
from wechat.checks import text_check
from wechat.verdicts import NoVerdict, text_verdict
from worker.celery import app
from wxcheck import CHECK_TEXT, Verdict


@app.task(base=CheckTask, name=CHECK_TEXT, bind=True)
def check_text(self: CheckTask, *args: Any, **kwargs: Any) -> Verdict:
    """Checks a text; takes what :func:`wxcheck.check_text` takes, the content first."""
    check = text_check(args, kwargs, self.runtime.settings)
    answer = self.ask(check)
    try:
        return text_verdict(answer, check.version, check.appid)
    except NoVerdict as lack:
        self.try_again(check, str(lack), taken=True)
