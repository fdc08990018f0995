"""Remedies for the refusals of a Redis or a RabbitMQ. Pure."""

from __future__ import annotations

import amqp.exceptions
import redis.exceptions
from kombu.exceptions import OperationalError

#: answers of a cluster's node to a client that takes the node for a single Redis
_OF_CLUSTERS = ("MOVED ", "ASK ", "CROSSSLOT ", "CLUSTERDOWN ", "Hash slot not served", "Keys in request don't hash")


def remedy(error: BaseException, setting: str) -> str | None:
    """Return the remedy for ``error``, or None if ``error`` is no refusal.

    ``setting``: name of the setting that holds the server's URL.
    """
    cause = origin(error)
    said = str(cause)
    if isinstance(cause, redis.exceptions.AuthenticationError):
        return f"set user and password in {setting}: redis://user:password@host:6379/0"
    if isinstance(cause, amqp.exceptions.AccessRefused):
        return f"set user and password in {setting}: amqp://user:password@host:5672/vhost"
    if isinstance(cause, amqp.exceptions.NotAllowed):
        return f"set the virtual host in {setting} to one that there is, and that this user may use"
    if isinstance(cause, redis.exceptions.NoPermissionError):
        return f"allow it to the user of {setting}: redis-cli ACL SETUSER"
    if isinstance(cause, redis.exceptions.ClusterError | redis.exceptions.ClusterDownError) or any(
        said.startswith(words) or words in said for words in _OF_CLUSTERS
    ):
        return f"set {setting} to a Redis of its own: this is a node of a Redis Cluster"
    if "DB index is out of range" in said:
        return f"end {setting} in the number of a database that this Redis has: /0"
    return None


def origin(error: BaseException) -> BaseException:
    """Return the server's own error from inside the wrappers of kombu and Celery."""
    wrappers = (OperationalError, RuntimeError)
    while isinstance(error, wrappers) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
