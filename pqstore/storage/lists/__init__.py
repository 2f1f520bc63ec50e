"""Inverted lists: a second copy of the codes, in order of partition, made from them alone."""
