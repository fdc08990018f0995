"""The counters, the statistics and the signs of life that those who watch read."""
