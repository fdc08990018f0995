"""``celery control rate_limit``, and Flower's button for it: for the whole cluster where the task is a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.worker import control

from config.logs import Log
from config.settings import Settings
from config.store import STORE_AWAY
from worker.rates import LANE_OF, RateRefused, calls_per_minute
from worker.runtime import runtime

if TYPE_CHECKING:
    from worker.checks import Lane

log = Log(__name__)


def use_rate_command() -> None:
    """Makes this process' workers understand it so."""
    everywhere = control.Panel.data["rate_limit"]

    def rate_limit(state: Any, task_name: str, rate_limit: str, **kwargs: Any) -> Any:
        lane = LANE_OF.get(task_name)
        if lane is None:
            return everywhere(state, task_name, rate_limit, **kwargs)
        try:
            per_minute = calls_per_minute(rate_limit)
        except RateRefused as refused:
            return control.nok(str(refused))
        if per_minute is not None and per_minute > (most := most_per_minute(lane)):
            return control.nok(
                f"rate_limit: {str(rate_limit)[:20]!r} is {per_minute} calls a minute, and the quota is {most}; a bare "
                f"number, as Flower's page sends it, is per second, so write {most}/m or less; if the platform "
                f"grants more, set WXCHECK_{lane.upper()}_PER_MINUTE"
            )
        try:
            runtime().rates.declare(lane, per_minute)
        except STORE_AWAY as error:
            return control.nok(f"rate_limit: the store is away ({type(error).__name__}), nothing was changed")
        show_rates(state.app)
        shown = state.app.tasks[task_name].rate_limit
        if per_minute is None:
            log.warning("rate_reset", lane=lane, rate=shown)
            return control.ok(f"reset for all workers, to {shown} of the settings")
        log.warning("rate_set", lane=lane, rate=shown)
        return control.ok(f"{shown} for all workers, those that start later too, until it is reset with 0")

    control.Panel.data["rate_limit"] = rate_limit


def most_per_minute(lane: Lane) -> int:
    """The platform's quota, or what the settings say where that is more."""
    field = f"{lane}_per_minute"
    return max(int(getattr(runtime().settings, field)), int(Settings.model_fields[field].default))


def show_rates(app: Any) -> None:
    """Has each check's task say the rate that is in force, for ``inspect`` and Flower."""
    settings, rates = runtime().settings, runtime().rates
    configured = {"text": settings.text_per_minute, "media": settings.media_per_minute}
    for name, lane in LANE_OF.items():
        per_minute = rates.declared(lane).per_minute or configured[lane]
        app.tasks[name].rate_limit = f"{per_minute}/m"
