"""Everything that is kept in Redis, a package for each kind with its Lua scripts beside it. Imports wechat and config.

It knows no Celery. All key names are in :mod:`store.keys`.
"""
