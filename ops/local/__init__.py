"""The local stack: ``wxcheck demo`` and ``wxcheck up``, with an embedded Redis and the sandbox platform."""
