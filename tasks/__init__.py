"""The tasks: they parse, call, and return or raise."""
