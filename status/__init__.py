"""The state of the whole cluster as data, for board, command line, metrics and doctor. Imports tasks and all below it.

The data answers three questions: how many, in which state, and what to do about it.
"""
