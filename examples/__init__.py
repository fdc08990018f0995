"""Applications that have their users' content checked by wxcheck."""
