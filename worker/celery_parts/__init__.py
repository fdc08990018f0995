"""The parts of Celery and kombu that are extended or replaced, and nothing else."""
