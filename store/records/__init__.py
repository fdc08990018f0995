"""The record of each check by its task id, which keeps two runs of one check apart."""
