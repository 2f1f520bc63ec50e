"""Parse the command line, run one verb, turn errors into one line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import io
import keyword
import os
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pqstore.cli.printed import printable
from pqstore.cli.report import Report
from pqstore.cli.verbs import SUMMARIES
from pqstore.errors import PQStoreError

__all__ = ["main", "make_parser"]

# Exit statuses: 0 done, 1 the answer is "no" (verify found problems), 2 an error, 130 interrupted.
_ERROR, _INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, as every other error."""
        self.exit(_ERROR, f"pqstore: {printable(message)} (see: {self.prog} --help)\n")


class _Version(argparse.Action):
    """Print the version; asked for only now, since it has to be read from the metadata of the package."""

    def __init__(self, option_strings: Sequence[str], dest: str, **named: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **named)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from pqstore import __version__

        print(f"pqstore {__version__}")
        parser.exit()


def make_parser(verbs: Collection[str] = SUMMARIES.keys()) -> argparse.ArgumentParser:
    """The parser of the command line, with the arguments of these verbs; of the others it knows what they are for."""
    parser = _Parser(
        prog="pqstore",
        description="A persistent, embedded, compressed vector index.",
        epilog="pqstore VERB --help shows each verb with examples. Exit status: 0 done; 1 the answer is no (verify, "
        "repair); 2 an error, told in one line; 130 interrupted.",
    )
    parser.add_argument("--version", action=_Version, default=argparse.SUPPRESS, help="show the version and exit")
    parsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in SUMMARIES.items():
        verb = parsers.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in verbs:
            module = importlib.import_module(f"pqstore.cli.verbs.{name}{'_' if keyword.iskeyword(name) else ''}")
            verb.epilog = (module.__doc__ or "").partition("\n")[2].strip()
            module.add_arguments(verb)
            verb.set_defaults(run=module.run, whole_parser=make_parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    _print_whatever_comes()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        # Only verbs among the words are loaded: all of them take longer than the help of one.
        options = make_parser([word for word in words if word in SUMMARIES]).parse_args(words)
    except SystemExit as stop:  # argparse has printed what there is to say
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace, Report], int] = options.run
    report = Report()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: report.note(f"pqstore {options.verb}: {message}")
            status = run(options, report)
        sys.stdout.flush()  # a full disk or a closed pipe is found here, not by the interpreter's exit
    except BrokenPipeError:
        # The reader of our output went away; nothing is left to be said to it, also not by the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PQStoreError, OSError, ValueError, TypeError, MemoryError, RecursionError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"pqstore {options.verb}: {printable(message)}", file=sys.stderr)
        return _ERROR
    except KeyboardInterrupt:
        print(f"pqstore {options.verb}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return status


def _print_whatever_comes() -> None:
    """Write what the encoding of a terminal or pipe lacks (cp1252, ASCII) as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
