"""The fetching of messages from their queues, as permits come."""
