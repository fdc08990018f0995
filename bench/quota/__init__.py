"""``python -m bench.quota``: how well wxcheck and its peers keep a quota, and how much of it they use.

Every run has a fresh Redis, a recording server that stands in for the platform, and four Celery workers with a backlog.
The server notes when each call arrives and enforces nothing; what is told of a run is counted from these arrivals.
"""
