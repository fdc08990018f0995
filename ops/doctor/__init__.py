"""``wxcheck doctor``: looks at everything that checks need, one thing after the other, and says what to mend."""
