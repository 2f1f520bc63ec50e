"""Inverted lists: how they are made of the codes of an index, and what a search reads of them."""
