"""The columns that every row has, and the arithmetic of rows."""
