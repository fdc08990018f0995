"""The Celery app and the way of a message through a worker. Imports store, wechat and config; tasks are above it."""
