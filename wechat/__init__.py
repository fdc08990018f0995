"""WeChat's protocol: checks, answers, error codes, verdicts, pushes. Imports config; knows no Celery and no Redis."""
