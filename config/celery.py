"""The Celery configuration. What is not said here is Celery's default; each line off the default says why."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from config.days import DAY
from config.lanes import QUEUES
from config.names import CANCEL, FINISH, PUSH_QUEUE, RECEIVE_PUSH, UNACKED, UNACKED_INDEX
from config.redis_url import tls_options
from config.settings import Settings
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE

#: seconds; kombu's default is none, and a Redis that accepts but never answers would block a process for good
SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 3

#: seconds between two looks for messages to give out again
RESTORE_INTERVAL = 5


def celery_configuration(settings: Settings) -> dict[str, Any]:
    """The configuration of the app that workers, endpoint and Flower share."""
    return {
        "broker_url": settings.broker,
        "result_backend": settings.backend,
        "imports": ("tasks.text", "tasks.media", "tasks.push", "tasks.refused"),
        # JSON only: a message that can run code when it is unpickled is none we want to read
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
    """A queue, exactly as Celery declares one that a client names only, or RabbitMQ would refuse one of the two."""
    return Queue(name, Exchange(name), routing_key=name)


def _queues() -> dict[str, Any]:
    return {
        "task_queues": [queue_named(name) for name in QUEUES],
        "task_routes": {
            CHECK_TEXT: {"queue": TEXT_QUEUE},
            CHECK_MEDIA: {"queue": MEDIA_QUEUE},
            RECEIVE_PUSH: {"queue": PUSH_QUEUE},
            FINISH: {"queue": PUSH_QUEUE},
            CANCEL: {"queue": PUSH_QUEUE},
        },
    }


def _delivery(settings: Settings) -> dict[str, Any]:
    return {
        # a message is acknowledged when its task has run: a check survives the process that took it up
        "task_acks_late": True,
        # ... a killed pool process included, which would otherwise fail the check
        "task_reject_on_worker_lost": True,
        # one message in hand for each slot: with late acknowledgement more would only wait here instead of elsewhere
        "worker_prefetch_multiplier": 1,
        # the workers wait for the network most of the time; threads cost a fraction of processes and share connections
        "worker_pool": "threads",
        "worker_concurrency": 96,
        # a chord counts its parts and a chain reads its results over the longest time that a check may wait
        "result_expires": int(DAY + settings.push_timeout + settings.max_age),
        # results of chords are read by whichever worker finishes the last part; a broker's blip must not fail them
        "result_chord_join_timeout": 30,
        # 'retry' may publish again while a worker starts before its broker does
        "broker_connection_retry_on_startup": True,
    }


def _quotas(settings: Settings) -> dict[str, Any]:
    return {
        # the quota of one appId, declared where Celery's users look for it and where Flower shows it ...
        "task_annotations": {
            CHECK_TEXT: {"rate_limit": f"{settings.text_per_minute}/m"},
            CHECK_MEDIA: {"rate_limit": f"{settings.media_per_minute}/m"},
        },
        # ... but not enforced by Celery, which counts for each worker, not for each appId, and which on Redis lets
        # through a fraction of the rate once there is a backlog
        "worker_disable_rate_limits": True,
    }


def _sockets(settings: Settings) -> dict[str, Any]:
    transport: dict[str, Any] = {}
    if settings.broker.startswith(("redis:", "rediss:", "redis+", "sentinel:")):
        transport = {
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_keepalive": True,
            # a worker says every few seconds what it has in hand (worker.fetching), so a long run does not outlast it
            "visibility_timeout": settings.visibility_timeout,
            # kombu keeps the unacknowledged messages of everyone on one Redis under one key, and each worker gives
            # back what is older than its own time-out: an application's long tasks would run twice by ours
            "unacked_key": UNACKED,
            "unacked_index_key": UNACKED_INDEX,
            # kombu looks for such messages every 100 s
            "unacked_restore_interval": RESTORE_INTERVAL,
            "unacked_restore_throttle": 1,
            # an application chooses which priorities have a list of their own: all that there can be are read, by
            # workers, and counted by Flower
            "priority_steps": list(range(10)),
            # what follows the end of a check goes out with it
            "commits_ends": settings.is_one_redis,
        }
    elif settings.broker.startswith(("amqp", "pyamqp")):
        # without confirmation a message is sent when it is written to the socket, whether or not anybody reads it
        transport = {"read_timeout": SOCKET_TIMEOUT, "write_timeout": SOCKET_TIMEOUT, "confirm_publish": True}
    return {
        "broker_use_ssl": tls_options(settings.broker) or False,
        "broker_transport_options": transport,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        "redis_socket_timeout": SOCKET_TIMEOUT,
        "redis_socket_connect_timeout": CONNECT_TIMEOUT,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 30,
        # Celery's own 20 tries would hold a slot for minutes
        "result_backend_transport_options": {"retry_policy": {"max_retries": 5}},
        # a result whose follow-up is sent already must be stored; a minute or two of trying outlasts a failover
        "result_backend_always_retry": True,
        "result_backend_max_retries": 30,
        "result_backend_base_sleep_between_retries_ms": 100,
        "result_backend_max_sleep_between_retries_ms": 2000,
    }


def _events() -> dict[str, Any]:
    return {
        # Flower shows nothing without events
        "worker_send_task_events": True,
        # 'detail' of a verdict may quote the user's text; at this depth the arguments of follow-up tasks, as they are
        # shown in events, hold no more than the verdict's first level
        "task_repr_maxlevels": 2,
    }
