"""``python -m bench.overhead``: what wxcheck adds to bare Celery, each figure beside its peer's, taken in one run.

Both sides have a fresh Redis of their own (the same embedded server), real processes, the same pool and the same Celery
options, events on, and one stand-in for the platform each, which answers at once. wxcheck is as it is run in
production, the lines of its log included, but that its quotas are lifted where not said otherwise. The peer is bare:
kombu's own Redis transport, Celery's own result backend (:mod:`bench.overhead.bare`). The follow-up tasks of both run
in a worker of a bare application (:mod:`bench.overhead.application`).

A side's turn alternates with the other's; a ratio is the median of the rounds' ratios, wxcheck to peer.
"""
