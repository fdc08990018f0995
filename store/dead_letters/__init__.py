"""The dead letters: failed checks that a person can mend and replay."""
