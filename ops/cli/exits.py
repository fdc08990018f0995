"""How a command ends: its exit code, and what it says where it could not do what was asked.

0  well
1  the answer is "no": review or risky, something is wrong, nobody knows the check
2  it could not be done, or not be understood
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL = 0
NO = 1
COULD_NOT = 2


def fail(message: str) -> NoReturn:
    """Says why it could not be done, and ends the command."""
    click.echo(f"wxcheck: {message}", err=True)
    sys.exit(COULD_NOT)


@contextmanager
def store_answers() -> Iterator[None]:
    """Ends the command with a message where the store does not answer what is asked within, or refuses it."""
    from redis import RedisError

    try:
        yield
    except RedisError as error:
        fail(store_away(error))


@contextmanager
def broker_answers() -> Iterator[None]:
    """The same of broker and result backend."""
    from celery.exceptions import BackendError
    from kombu.exceptions import OperationalError
    from redis import RedisError

    try:
        yield
    except (OperationalError, RedisError, BackendError, RuntimeError) as error:  # the last two are Celery's
        fail(broker_away(error))


@contextmanager
def servers_answer() -> Iterator[None]:
    """Ends any command so, should an error of a server get out of it."""
    try:
        yield
    except Exception as error:
        from amqp.exceptions import AMQPError
        from celery.exceptions import BackendError
        from kombu.exceptions import OperationalError
        from redis import RedisError

        if isinstance(error, OperationalError | BackendError | AMQPError):
            fail(broker_away(error))
        if isinstance(error, RedisError):
            fail(store_away(error))
        raise


def store_away(error: BaseException) -> str:
    """What is said where the store does not answer, or refuses."""
    from config.refusals import remedy

    mend = remedy(error, "WXCHECK_REDIS_URL") or "does WXCHECK_REDIS_URL lead to a Redis that runs?"
    return f"the store: {described(error)}; {mend}"


def broker_away(error: BaseException) -> str:
    """The same of broker and result backend."""
    from config.refusals import origin, remedy

    mend = remedy(error, "WXCHECK_BROKER_URL or WXCHECK_RESULT_BACKEND (or WXCHECK_REDIS_URL)")
    return f"broker or result backend: {described(origin(error))}" + (f"; {mend}" if mend else "")


def described(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
