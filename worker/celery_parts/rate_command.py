"""``celery control rate_limit``, and Flower's button for it: a check's rate holds for the whole cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.time import rate
from celery.worker import control

from config.lanes import LANE_OF_TASK
from config.logs import Log
from config.settings import Settings
from store.connection import STORE_AWAY
from worker.runtime import runtime

if TYPE_CHECKING:
    from config.lanes import Lane

log = Log(__name__)


class RateRefused(ValueError):
    """A rate that cannot be kept."""


def calls_per_minute(declared: str | float | None) -> int | None:
    """Return the calls a minute of a rate in Celery's form: ``600/m``, ``10/s``, ``36000/h``, or a number a second.

    None: ``declared`` is 0 or nothing, which resets the rate.

    Raises:
        RateRefused: ``declared`` is no rate, or less than one call a minute.
    """
    try:
        per_second = rate(declared)
        # 600/m is 10.0 a second, and 4000/m a little less than 66.67: not one call may be lost by rounding
        per_minute = int(per_second * 60 + 1e-6)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise RateRefused(f"rate_limit: {str(declared)[:20]!r} is no rate; write 600/m, 10/s or 36000/h") from None
    if not per_second:
        return None
    if per_minute < 1:
        raise RateRefused(
            f"rate_limit: {str(declared)[:20]!r} is less than one call a minute; write 1/m or more, or 0 to reset it"
        )
    return per_minute


def use_rate_command() -> None:
    """Replace Celery's command ``rate_limit`` in the workers of this process."""
    everywhere = control.Panel.data["rate_limit"]

    def rate_limit(state: Any, task_name: str, rate_limit: str, **kwargs: Any) -> Any:
        lane = LANE_OF_TASK.get(task_name)
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
    """Return the calls a minute that a lane may send: the platform's quota, or the rate of the settings if higher."""
    field = f"{lane}_per_minute"
    return max(int(getattr(runtime().settings, field)), int(Settings.model_fields[field].default))


def show_rates(app: Any) -> None:
    """Set the rate in force on each check's task, for ``inspect`` and Flower."""
    settings, rates = runtime().settings, runtime().rates
    for name, lane in LANE_OF_TASK.items():
        per_minute = rates.declared(lane).per_minute or getattr(settings, f"{lane}_per_minute")
        app.tasks[name].rate_limit = f"{per_minute}/m"
