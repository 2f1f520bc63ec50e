"""The verbs of the command: each parses, makes one public call, and prints."""
