"""Giving space back, and finding faults."""
