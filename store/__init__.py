"""All data in Redis, a package for each kind with its Lua scripts beside it. Imports wechat and config, no Celery.

:mod:`store.keys` has every key name.
"""
