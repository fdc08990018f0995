"""The Celery tasks: each parses its arguments, calls, and returns or raises. Imports worker and all below it."""
