"""The record of each check by its task id: it keeps two runs of one check apart."""
