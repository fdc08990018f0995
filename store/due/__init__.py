"""A look at all checks that are due."""
