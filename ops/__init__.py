"""The tools of the people who run wxcheck: command line, board, doctor, backfill, local stack. Imports every room."""
