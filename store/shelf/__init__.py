"""The shelf: checks that come back at a time, and their messages."""
