"""A push, from the bytes that WeChat sends to the outcome of a check: envelope, signature, messages."""
