"""The check of the broker at a worker's start: a refusal stops the worker, with the remedy; an outage does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.celery import CONNECT_TIMEOUT
from config.refusals import origin, remedy

if TYPE_CHECKING:
    from celery import Celery


def stop_where_refused(app: Celery) -> None:
    """Stop the process with one line if the broker refuses user, password, virtual host or database.

    Raises:
        SystemExit: the broker refuses the worker.
    """
    try:
        with app.connection_for_read(connect_timeout=CONNECT_TIMEOUT) as connection:
            connection.ensure_connection(max_retries=0, timeout=CONNECT_TIMEOUT)
            connection.default_channel.close()  # the first command to a Redis
    except Exception as error:  # noqa: BLE001 - each broker has errors of its own
        mend = remedy(error, "WXCHECK_BROKER_URL")
        if mend is None:
            return  # the broker may come: Celery tries on, and logs so
        cause = origin(error)
        said = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise SystemExit(f"wxcheck cannot start: the broker refuses it: {said}; {mend}") from None
