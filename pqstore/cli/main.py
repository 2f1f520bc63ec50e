"""Parse the command line, run one verb, turn errors into one line and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from pqstore import __version__
from pqstore.cli import add, build, info, remove, search, verify
from pqstore.cli.report import Report
from pqstore.errors import PQStoreError

__all__ = ["main", "make_parser"]

_VERBS = (build, add, search, remove, info, verify)

# Exit statuses: 0 done, 1 the answer is "no" (verify found problems), 2 an error, 130 interrupted.
_ERROR, _INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, as every other error."""
        self.exit(_ERROR, f"pqstore: {message} (see: {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(prog="pqstore", description="A persistent, embedded, compressed vector index.")
    parser.add_argument("--version", action="version", version=f"pqstore {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in _VERBS:
        name = module.__name__.rpartition(".")[2]
        # The first line of a verb's docstring is its summary, the rest its description and examples.
        summary, _, details = (module.__doc__ or "").partition("\n")
        verb = verbs.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=details.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has printed what there is to say
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace, Report], int] = options.run
    try:
        return run(options, Report())
    except BrokenPipeError:
        # The reader of our output went away; nothing is left to be said to it, also not by the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PQStoreError, OSError, ValueError, TypeError, MemoryError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"pqstore {options.verb}: {message}", file=sys.stderr)
        return _ERROR
    except KeyboardInterrupt:
        print(f"pqstore {options.verb}: interrupted", file=sys.stderr)
        return _INTERRUPTED
