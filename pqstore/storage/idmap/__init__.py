"""id -> row: sorted runs in tiers, ranges of consecutive ids, and the keys of the tail."""
