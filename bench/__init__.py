"""Benchmarks. They measure against real servers of their own, and are no part of the installed package."""
