"""The board: one page that says what is going on, and what is wrong."""
