"""A new index out of what is sound of a damaged one."""
