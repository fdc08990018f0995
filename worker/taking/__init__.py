"""The taking: checks come into a worker's hands as permits come, and leave them moved. Imports ``worker`` and below."""
