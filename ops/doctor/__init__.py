"""The doctor (``wxcheck doctor``) looks at everything that checks need, and names the remedy of each fault."""
