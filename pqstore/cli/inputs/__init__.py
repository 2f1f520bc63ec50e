"""What the verbs read: vectors, ids, payloads, codes."""
