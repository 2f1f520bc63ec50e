"""Which rows an answer may hold."""
