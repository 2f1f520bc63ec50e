"""What rows bring along: originals, payloads, columns of fields, saved sets."""
