"""The counters, the statistics and the signs of life for those who watch."""
