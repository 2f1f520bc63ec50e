"""What each record says, byte by byte. No input, no output."""
