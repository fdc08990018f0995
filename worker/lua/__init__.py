"""The Lua scripts that the store runs: one verb each, atomic."""
