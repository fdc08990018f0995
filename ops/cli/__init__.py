"""The command line ``wxcheck``: a module for each group of commands, put together in :mod:`ops.cli.main`.

At import a module of a command needs Click only: ``wxcheck --help`` is quick, and works without settings.
"""
