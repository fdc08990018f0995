"""``wxcheck.check_text``: a text, answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.check import CheckTask
from wechat.checks import text_check
from wechat.verdicts import NoVerdict, text_verdict
from worker.celery import app
from wxcheck import CHECK_TEXT, Verdict

if TYPE_CHECKING:
    from worker.run import Run


@app.task(base=CheckTask, name=CHECK_TEXT, bind=True)
def check_text(self: CheckTask, run: Run, *args: Any, **kwargs: Any) -> Verdict:
    """Check a text. Takes the arguments of :func:`wxcheck.check_text`, the content first."""
    check = text_check(args, kwargs, self.runtime.settings)
    answer = self.ask(run, check)
    try:
        return text_verdict(answer, check.version, check.appid)
    except NoVerdict as lack:
        self.try_again(run, check, str(lack), taken=True)
