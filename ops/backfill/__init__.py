"""The backfill: puts a file of texts and media URLs through the checks, once each (``wxcheck submit``).

    reading      a CSV or JSONL file as lines of named values
    validation   a line as a check, or as the faults that it has
    journal      what was sent, on the disk before it is sent
    state        how far a run is, from its journal and its output
    sending      publishes a batch and marks it in one step
    results      how checks ended, from the result backend
    output       the verdicts, as CSV or JSONL
    patience     waits for a broker or a store that is away
    run          all of it, until each line has a verdict
    progress     how far it is, for people

A run is crash-only: it is stopped in any moment, and the same command goes on.
"""
