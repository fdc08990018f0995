"""Benchmarks against real servers of their own; no part of the installed package. Imports every room but tests."""
