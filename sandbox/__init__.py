"""A stand-in for the WeChat platform: tokens, both content checks, quotas, faults and pushes; docs/sandbox.md.

Imports wechat and config: it shares the platform's protocol, and nothing of the worker.
"""
