"""Checks sent through real processes while these are killed, hung and cut off, and what became of each check."""
