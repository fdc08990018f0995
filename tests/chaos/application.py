"""The application of the chaos suite: follow-ups and errbacks that write down their runs.

It is not what is tried out here, so it loses nothing itself: from a Redis it takes messages as wxcheck's intake does,
without Celery. Of each run it notes which publication of the task it was, so that one that was published twice can be
told from one that was delivered twice; on RabbitMQ, which numbers no publication, whether it is the first delivery of
one.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from typing import Any

import redis
from celery import Celery
from celery.backends.redis import RedisBackend

from config.broker_lists import lists_of
from store.scripts import script

URL = os.environ.get("WXCHECK_REDIS_URL", "redis://127.0.0.1:1/0")
BROKER = os.environ.get("WXCHECK_BROKER_URL", URL)
RESULTS = os.environ.get("WXCHECK_RESULT_BACKEND", URL)
QUEUE = "application"
#: hash: each run, under a name of its own
RUNS = "application:runs"
#: messages that were taken and are not noted, and their index; seconds after which they are taken again
UNACKED, UNACKED_INDEX, LEFT = "application:unacked", "application:unacked_index", 10.0

_REDIS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "unacked_key": "application:kombu",
    "unacked_index_key": "application:kombu_index",
    "unacked_mutex_key": "application:kombu_mutex",
}
#: what RabbitMQ has not confirmed is published again
_AMQP = {"read_timeout": 5, "write_timeout": 5, "confirm_publish": True}


class Backend(RedisBackend):  # type: ignore[misc]
    """Celery's own, but that it waits for no result: who publishes subscribes to none, and has none to give up, which
    Celery does wherever garbage is collected, for minutes where Redis is away."""

    def on_task_call(self, *_: Any) -> None:
        pass

    def remove_pending_result(self, result: Any) -> Any:
        return result


def make_app(broker: str, results: str) -> Celery:
    """The application's Celery app; whoever publishes waits for a broker that is away."""
    app = Celery("application", broker=broker, backend=results, set_as_current=False)
    app.loader.override_backends = {"redis": f"{Backend.__module__}:{Backend.__name__}"}
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy={"max_retries": 300, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 1},
        broker_transport_options=_AMQP if broker.startswith("amqp") else _REDIS,
        redis_socket_timeout=5,
        result_backend_transport_options={"retry_policy": {"max_retries": 300}},
    )
    return app


app = make_app(BROKER, RESULTS)
_store = redis.Redis.from_url(URL, decode_responses=True)


def _note(task: Any, name: str, item: Any, what: Any) -> None:
    name_of_run = uuid.uuid4().hex
    published = task.request.get("published")
    if published is None and not task.request.delivery_info["redelivered"]:
        published = name_of_run
    run = {"name": name, "item": item, "what": what, "task_id": task.request.id, "published": published}
    while True:  # said again where the answer is lost, it is the same run
        try:
            _store.hset(RUNS, name_of_run, json.dumps(run))
        except redis.exceptions.RedisError:
            time.sleep(0.1)
        else:
            return


@app.task(bind=True, ignore_result=True, name="application.publish")
def publish(self: Any, verdict: Any, item: Any) -> None:
    """The follow-up of one check."""
    _note(self, "publish", item, verdict["suggest"])


@app.task(bind=True, ignore_result=True, name="application.hide")
def hide(self: Any, task_id: str, item: Any) -> None:
    """The errback of one check."""
    _note(self, "hide", item, task_id)


@app.task(bind=True, ignore_result=True, name="application.album")
def album(self: Any, verdicts: list[Any], item: Any) -> None:
    """The body of a chord of checks."""
    _note(self, "album", item, [verdict["suggest"] for verdict in verdicts])


def consume() -> None:
    """Run what comes into the queue of a Redis broker, for ever."""
    broker = redis.Redis.from_url(BROKER, socket_timeout=5, socket_connect_timeout=3)
    fetch, redeliver = script(broker, "worker/intake/fetch"), script(broker, "worker/intake/redeliver")
    look_at = 0.0
    while True:
        try:
            if time.monotonic() > look_at:
                redeliver(keys=[UNACKED, UNACKED_INDEX], args=[LEFT, 100])
                look_at = time.monotonic() + 2
            tags = [uuid.uuid4().hex for _ in range(64)]
            found = fetch(keys=[UNACKED, UNACKED_INDEX, *lists_of(QUEUE)], args=tags)
            for content, tag in zip(found[1::2], tags, strict=False):
                _run(json.loads(content))
                broker.hdel(UNACKED, tag)
                broker.zrem(UNACKED_INDEX, tag)
            if not found:
                time.sleep(0.02)
        except redis.exceptions.RedisError:
            time.sleep(0.1)


def _run(message: dict[str, Any]) -> None:
    headers, body, properties = message["headers"], message["body"], message["properties"]
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body)
    args, kwargs, _ = json.loads(body)
    task = app.tasks[headers["task"]]
    task.push_request(id=headers["id"], published=properties["delivery_tag"])
    try:
        task.run(*args, **kwargs)
    finally:
        task.pop_request()


if __name__ == "__main__":
    print("the application is ready.", flush=True)
    consume()
