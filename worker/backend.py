"""Celery's Redis result backend, with the end of a chord put off to the end of the check that completes it.

Celery publishes a chord's body and then removes what it kept of the chord. What is published waits for the check's end
(:mod:`worker.outbox`), so the removal has to as well, or a process that dies between would leave neither.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import redis
from celery.backends.redis import RedisBackend

from worker.outbox import Also, ending_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery


class Client(redis.Redis):
    """A client that removes keys with the end of a check, while one is under way."""

    def delete(self, *names: Any) -> Any:
        run = ending_run()
        if run is None:
            return super().delete(*names)
        run.also.append(Also(self.register_script(_DELETE), [], list(names)))
        return len(names)


#: the last argument is the run's
_DELETE = "return redis.call('DEL', unpack(ARGV, 1, #ARGV - 1))"


class Backend(RedisBackend):  # type: ignore[misc]  # Celery ships no types
    """A result backend in the same Redis as broker and store."""

    def _get_client(self) -> type[redis.Redis]:
        return Client

    @cached_property
    def _chord_part_return_script(self) -> Callable[..., Any]:
        count_part = super()._chord_part_return_script

        def counted(*args: Any, **kwargs: Any) -> Any:
            ready, more, size, claimed = count_part(*args, **kwargs)
            run = ending_run()
            if run is not None and size and ready == int(size) + int(more or 0) and not claimed:
                # who has claimed it may have died: Celery waits for its claim to expire, and then nobody asks again
                run.chord_is_claimed = True
            return ready, more, size, claimed

        return counted

    @cached_property
    def _chord_claim_extend_script(self) -> Callable[..., Any]:
        extend = super()._chord_claim_extend_script

        def extended(*args: Any, **kwargs: Any) -> Any:
            is_ours = extend(*args, **kwargs)
            run = ending_run()
            if run is not None and not is_ours:
                run.chord_is_claimed = True
            return is_ours

        return extended

    @cached_property
    def _chord_cleanup_script(self) -> Callable[..., Any]:
        clean_up = super()._chord_cleanup_script

        def put_off(*, keys: list[str], args: list[Any], client: redis.Redis) -> Any:
            run = ending_run()
            if run is None:
                return clean_up(keys=keys, args=args, client=client)
            run.also.append(Also(clean_up, keys, args))
            return 1

        return put_off


def use_backend(app: Celery) -> None:
    """Makes ``app`` use it for Redis."""
    app.loader.override_backends = {**app.loader.override_backends, "redis": f"{__name__}:Backend"}
