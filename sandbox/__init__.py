"""A stand-in for the WeChat platform: tokens, both content checks, quotas, faults and pushes. See docs/sandbox.md."""
