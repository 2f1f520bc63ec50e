"""The ``pqstore`` command."""

from pqstore.cli.main import main

__all__ = ["main"]
