"""The quotas: a permit for each call, over any number of workers."""
