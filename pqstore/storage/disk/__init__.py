"""A directory with one LMDB file in it: mapped, locked, checked before it is trusted. Knows no row."""
