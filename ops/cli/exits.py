"""The exits of commands: the exit codes, and the messages of failures.

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
    """Print why the command failed, and end it."""
    click.echo(f"wxcheck: {message}", err=True)
    sys.exit(COULD_NOT)


@contextmanager
def store_answers() -> Iterator[None]:
    """End the command with a message if the store does not answer within the context, or refuses."""
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
    except (OperationalError, RedisError, BackendError, RuntimeError) as error:  # Celery raises the last two
        fail(broker_away(error))


@contextmanager
def servers_answer() -> Iterator[None]:
    """End any command with such a message if an error of a server gets out of it."""
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
    """Return the message for a store that does not answer, or refuses."""
    from config.refusals import remedy

    mend = remedy(error, "WXCHECK_REDIS_URL") or "does WXCHECK_REDIS_URL lead to a Redis that runs?"
    return f"the store: {described(error)}; {mend}"


def broker_away(error: BaseException) -> str:
    """The same of broker and result backend."""
    from config.refusals import origin, remedy

    mend = remedy(error, "WXCHECK_BROKER_URL or WXCHECK_RESULT_BACKEND (or WXCHECK_REDIS_URL)")
    return f"broker or result backend: {described(origin(error))}" + (f"; {mend}" if mend else "")


def described(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
