"""Facts of payload fields: their values, how far these reach, of what kinds they are."""
