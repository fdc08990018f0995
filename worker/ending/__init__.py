"""The end of a run: what follows from it is kept, and goes out once the store has the end. Imports store and below."""
