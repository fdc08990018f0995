"""A check ends once although its end cannot be told, where the broker is apart from the store.

Tests: worker.ending.relay, tasks.check
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import chain, chord
from celery.canvas import Signature

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import (
    cancel,
    failure_of,
    picture,
    place_of,
    runs,
    send_media,
    time_comes,
    verdict_of,
    words,
)
from tests.support.processes import PATIENCE, eventually
from tests.support.system import KeepingSystem, System
from wechat.checks import MEDIA_PATH, TEXT_PATH

#: Celery's own call
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")

#: seconds for which the broker is away: longer than publishing to a Redis is tried
AWAY = 4
#: seconds until a check ends whose run lost its broker
LONGEST = 3 * PATIENCE


@pytest.fixture(params=["all apart", "RabbitMQ"])
def apart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system at work whose servers keep what they have when they are killed."""
    # not longer: a check whose run lost its broker waits for the lease of that run, which is over after the call
    settings = {"API_TIMEOUT": "12"}
    system = KeepingSystem(tmp_path_factory.mktemp("apart"), request.param, **settings)
    try:
        system.sandbox()
        system.worker()
        system.application()
        yield system
    finally:
        system.close()


def text(system: System, *directives: str) -> Signature:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(words(*directives),), queue=wxcheck.TEXT_QUEUE)


def follow_up(system: System, name: str) -> Signature:
    return system.app.signature(f"application.{name}", kwargs={"item": name}, queue="application")


def test_checks_that_end_while_the_broker_is_away_do_not_fail(apart: System) -> None:
    last = chain(text(apart, "slow=2", "risky"), follow_up(apart, "publish")).apply_async()
    album = chord([text(apart, "slow=2"), text(apart, "slow=2", "risky")])(follow_up(apart, "album"))
    eventually(lambda: apart.calls(TEXT_PATH) == 3, "each is sent")
    broker = apart.servers.broker_server
    assert broker is not None
    broker.kill()
    time.sleep(AWAY)
    broker.restart()
    # the worker connects anew, and waits for the lease of the run that lost its broker; on a busy machine for minutes
    eventually(last.parent.ready, "it ends", LONGEST)
    assert verdict_of(last.parent)["suggest"] == "risky"
    assert verdict_of(last) == {"item": "publish", "shown": False}
    assert verdict_of(album) == ["pass", "risky"]
    assert {"publish", "album"} <= {run["name"] for run in runs(apart)}
    assert apart.calls(TEXT_PATH) == 3
    assert [place_of(apart, check.id) for check in (last.parent, *album.parent.results)] == ["ended"] * 3
    eventually(lambda: not apart.redis.exists(SHARD.key("outbox")), "nothing is left to bring out")


@pytest.mark.parametrize("apart", ["all apart"], indirect=True)
def test_a_picture_that_another_run_has_ended_is_not_shown_as_waiting(apart: System) -> None:
    result = send_media(apart.app, picture("slow=8"))
    eventually(lambda: apart.calls(MEDIA_PATH) == 1, "it is sent")
    # the run is taken for dead, and another one ends the check
    assert cancel(apart, result.id) == "hand"
    time_comes(apart, SHARD.key("hand"), result.id)
    assert type(failure_of(result)) is wxcheck.CheckCancelled
    worker = next(running for running in apart.started if running.name == "worker")
    worker.wait_for("call_superseded")
    assert apart.app.AsyncResult(result.id).state == "FAILURE"
