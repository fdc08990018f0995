"""What is measured: wxcheck and its peers, and how each one's workers are started and fed."""

from __future__ import annotations

from dataclasses import dataclass

from bench.quota.limiters import LIMITERS
from bench.quota.scale import Scale
from config.lanes import Lane

#: worker processes of each contender, but of the one that is measured with a single one
WORKERS = 4

#: packages of the peers
PEERS = ("limits", "pyrate-limiter", "throttled-py")

#: wxcheck's keys: a lane's permits, and the lanes that were seen
QUOTA_KEYS = (*(f"wxcheck:{{0}}:{name}:*" for name in ("quota", "ring", "settled")), "wxcheck:{0}:known")
#: the script of wxcheck's that hands out permits, with the checks that they are for
QUOTA_SCRIPTS = "store/places/take"

_QUEUES = "wxcheck.text,wxcheck.media,wxcheck.push"


@dataclass(frozen=True)
class Feed:
    """The task that a backlog is made of."""

    lane: Lane
    task: str
    queue: str
    kwargs: dict[str, str]


_TEXT = Feed("text", "wxcheck.check_text", "wxcheck.text", {"content": "今天天气很好, let's go for a walk"})
_MEDIA = Feed(
    "media", "wxcheck.check_media", "wxcheck.media", {"media_url": "https://example.com/p.jpg", "media_type": "image"}
)
_PEER = Feed("text", "bench.check_text", "bench.text", _TEXT.kwargs)


@dataclass(frozen=True)
class Contender:
    """``name`` is what the command line takes, ``title`` what the table shows."""

    name: str
    title: str
    feeds: tuple[Feed, ...]
    workers: int = WORKERS
    #: keys in which its state lies
    state: tuple[str, ...] = ()

    @property
    def is_wxcheck(self) -> bool:
        return self.name.startswith("wxcheck")

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return tuple(feed.lane for feed in self.feeds)

    def command(self, name: str) -> list[str]:
        """Arguments of Python that start the worker ``name``."""
        options = ["-n", f"{name}@%h", "--loglevel=WARNING"]
        if self.is_wxcheck:
            return ["-m", "bench.quota.wxcheck_worker", "worker", "-Q", _QUEUES, *options]
        return ["-m", "celery", "-A", "bench.quota.peer_app", "worker", "-Q", _PEER.queue, *options]

    def environment(self, scale: Scale, store: str) -> dict[str, str]:
        """The variables of its workers, beside wxcheck's own settings, which all contenders share."""
        window = {"BENCH_WINDOW": f"{scale.window:g}"}
        if self.is_wxcheck:
            return window
        quota = str(scale.quota(self.lanes[0]))
        return {**window, "BENCH_LIMITER": self.name, "BENCH_STORE": store, "BENCH_QUOTA": quota}


_ALL = [
    Contender("wxcheck-text", "wxcheck, text", (_TEXT,), state=QUOTA_KEYS),
    Contender("wxcheck-media", "wxcheck, media", (_MEDIA,), state=QUOTA_KEYS),
    Contender("wxcheck-both", "wxcheck, both lanes", (_TEXT, _MEDIA), state=QUOTA_KEYS),
    Contender("celery-1", "Celery rate_limit, 1 worker", (_PEER,), workers=1),
    Contender("celery-4", "Celery rate_limit, 4 workers", (_PEER,)),
    Contender("limits-moving", "limits, moving window", (_PEER,), state=("LIMITS*",)),
    Contender("limits-sliding", "limits, sliding counter", (_PEER,), state=("LIMITS*",)),
    Contender("pyrate-limiter", "pyrate-limiter, Redis bucket", (_PEER,), state=("bench",)),
    Contender("throttled-py", "throttled-py, GCRA", (_PEER,), state=("throttled:*",)),
]

CONTENDERS = {contender.name: contender for contender in _ALL}

assert set(LIMITERS) == {name for name, contender in CONTENDERS.items() if not contender.is_wxcheck}  # noqa: S101
