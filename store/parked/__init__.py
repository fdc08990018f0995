"""The parked checks: media checks that wait for their push, by ``trace_id``."""
