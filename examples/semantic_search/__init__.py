"""Semantic search over sentences: a small application on pqstore, from a terminal and as a web page."""
