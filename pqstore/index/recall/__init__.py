"""How much of the truth a search finds."""
