"""The nearest of the rows that may be returned."""
