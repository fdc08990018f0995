"""The outbox of a run: its result and its follow-ups, which are stored in one step with the end of the check."""
