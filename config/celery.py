"""The Celery configuration. Each line departs from Celery's default, and its comment says why."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from config.days import DAY
from config.lanes import QUEUES
from config.names import PUSH_QUEUE, RECEIVE_PUSH
from config.redis_url import is_kombus_redis, tls_options
from config.settings import Settings
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE

#: seconds; kombu has no time-out by default, and a Redis that accepts but never answers would block a process for good
SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 3

#: connections of a process: its threads use one core together, which is busy with fewer answers
RESULT_CONNECTIONS = 6
#: the same to the broker, for what a worker publishes, in place of ten. Other processes need more: each question of
#: Flower's to the workers has two, and those without one would wait for each other for ever
BROKER_CONNECTIONS = 4


def celery_configuration(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the app that workers, endpoint and Flower share."""
    return {
        "broker_url": settings.broker,
        "result_backend": settings.backend,
        "imports": ("tasks.text", "tasks.media", "tasks.refused"),
        # JSON only: unpickling a message can run code
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        **_queues(),
        **_delivery(settings),
        **_quotas(settings),
        **_sockets(settings),
        **_events(),
    }


def queue_named(name: str) -> Queue:
    """Return a queue as Celery declares a queue that a client names; RabbitMQ refuses two differing declarations."""
    return Queue(name, Exchange(name), routing_key=name)


def _queues() -> dict[str, Any]:
    return {
        "task_queues": [queue_named(name) for name in QUEUES],
        "task_routes": {
            CHECK_TEXT: {"queue": TEXT_QUEUE},
            CHECK_MEDIA: {"queue": MEDIA_QUEUE},
            RECEIVE_PUSH: {"queue": PUSH_QUEUE},
        },
    }


def _delivery(settings: Settings) -> dict[str, Any]:
    return {
        # a check leaves the hand after its task has run, so it survives the process that took it
        "task_acks_late": True,
        # what "inspect stats" and Flower show as the prefetch count: a worker takes as many checks as it has slots
        "worker_prefetch_multiplier": 1,
        # the workers wait for the network most of the time; threads cost a fraction of processes and share connections
        "worker_pool": "threads",
        "worker_concurrency": 96,
        # a chord counts its parts and a chain reads its results over the longest time that a check may wait
        "result_expires": int(DAY + settings.push_timeout + settings.max_age),
        # the worker that finishes a chord's last part reads the other parts; a broker's blip must not fail the chord
        "result_chord_join_timeout": 30,
        # a worker may start before its broker does: the worker tries again until the broker answers
        "broker_connection_retry_on_startup": True,
    }


def _quotas(settings: Settings) -> dict[str, Any]:
    return {
        # the quota of one appId stands where Celery's users look for it and where Flower shows it ...
        "task_annotations": {
            CHECK_TEXT: {"rate_limit": f"{settings.text_per_minute}/m"},
            CHECK_MEDIA: {"rate_limit": f"{settings.media_per_minute}/m"},
        },
        # ... but Celery does not enforce it: Celery counts per worker, not per appId, and on Redis lets through a
        # fraction of the rate once there is a backlog
        "worker_disable_rate_limits": True,
    }


def _sockets(settings: Settings) -> dict[str, Any]:
    transport: dict[str, Any] = {}
    if is_kombus_redis(settings.broker):
        transport = {
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_keepalive": True,
            # by default every kombu application on one Redis shares one key for unacknowledged messages, and each
            # process that reads any queue, as that of its commands, gives back messages older than its own time-out: it
            # would have an application's long tasks run twice
            "unacked_key": "wxcheck:kombu",
            "unacked_index_key": "wxcheck:kombu_index",
            "unacked_mutex_key": "wxcheck:kombu_mutex",
            # an application chooses the priorities that have a list of their own: workers read all ten, and Flower
            # counts them
            "priority_steps": list(range(10)),
        }
    elif settings.broker.startswith(("amqp", "pyamqp")):
        # without confirmation a message counts as sent once it is written to the socket, even if nobody reads it
        transport = {"read_timeout": SOCKET_TIMEOUT, "write_timeout": SOCKET_TIMEOUT, "confirm_publish": True}
    return {
        "broker_use_ssl": tls_options(settings.broker) or False,
        "broker_transport_options": transport,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        # by default one connection for each slot
        "redis_max_connections": RESULT_CONNECTIONS,
        "redis_socket_timeout": SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": CONNECT_TIMEOUT,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 30,
        # Celery's own 20 tries would block a slot for minutes
        "result_backend_transport_options": {"retry_policy": {"max_retries": 5}},
        # a result must be stored once its follow-up is sent; a minute or two of trying outlasts a failover
        "result_backend_always_retry": True,
        "result_backend_max_retries": 30,
        "result_backend_base_sleep_between_retries_ms": 100,
        "result_backend_max_sleep_between_retries_ms": 2000,
    }


def _events() -> dict[str, Any]:
    return {
        # Flower shows nothing without events
        "worker_send_task_events": True,
        # a verdict's 'detail' may quote the user's text; at depth 2 the arguments of follow-up tasks in events show no
        # more than the verdict's first level
        "task_repr_maxlevels": 2,
    }
