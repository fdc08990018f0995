"""Settings and the Celery configuration."""
