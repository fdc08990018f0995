"""The backfill: each line of a file of texts and media URLs is checked once (``wxcheck submit``).

    reading      a CSV or JSONL file as lines of named values
    validation   a line as a check, or as its faults
    journal      the lines that a run sends, noted on the disk before
    state        the progress of each line, from journal and output
    sending      the publishing of a batch, with its mark in one step
    results      the ends of the checks, from the result backend
    output       the verdicts, as CSV or JSONL
    patience     the wait for a broker or a store that is away
    run          all of these, until each line has a verdict
    progress     the progress of a run, for people

A run is crash-only: it may be stopped at any moment, and the same command goes on.
"""
