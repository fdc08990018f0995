"""A worker whose broker refuses it stops at its start, with the remedy; for one that is away it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.celery import CONNECT_TIMEOUT
from config.refusals import origin, remedy

if TYPE_CHECKING:
    from celery import Celery


def stop_where_refused(app: Celery) -> None:
    """Ends the process with one line where user, password, virtual host or database are refused.

    Raises:
        SystemExit.
    """
    try:
        with app.connection_for_read(connect_timeout=CONNECT_TIMEOUT) as connection:
            connection.ensure_connection(max_retries=0, timeout=CONNECT_TIMEOUT)
            connection.default_channel.close()  # a Redis is asked nothing before
    except Exception as error:  # noqa: BLE001 - each broker has errors of its own
        mend = remedy(error, "WXCHECK_BROKER_URL")
        if mend is None:
            return  # it may come: Celery tries on, and says so
        cause = origin(error)
        said = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise SystemExit(f"wxcheck cannot start: the broker refuses it: {said}; {mend}") from None
