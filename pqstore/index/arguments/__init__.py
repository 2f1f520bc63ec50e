"""What callers give, checked once."""
