"""The intake: takes messages off the broker's queues, and files each in its place. Imports ``worker`` and all below."""
