"""Print what makes a shell complete pqstore's verbs, options and files.

examples:
  pqstore completion bash > pqstore-completion.bash
  pqstore completion zsh > _pqstore

Bash: put the file's contents, or `eval "$(pqstore completion bash)"`, into ~/.bashrc. Zsh: put the file into a
directory of $fpath. Needs `pip install 'pqstore[cli]'`.
"""

from __future__ import annotations

import argparse

from pqstore.cli.report import Report
from pqstore.errors import MissingDependencyError

__all__ = ["add_arguments", "run"]

_DIRECTORIES = {"INDEX", "DESTINATION"}
_FILES = {"VECTORS", "QUERIES", "FILE", "SOURCE", "OUTPUT", "NEIGHBORS"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")


def run(options: argparse.Namespace, report: Report) -> int:
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise MissingDependencyError("shell completion needs shtab: pip install 'pqstore[cli]'") from error
    parser: argparse.ArgumentParser = options.whole_parser()
    for verb in _verbs(parser):
        for action in verb._actions:
            metavar = str(action.metavar)
            kind = shtab.DIRECTORY if metavar in _DIRECTORIES else shtab.FILE if metavar in _FILES else None
            if kind is not None:
                action.complete = kind  # type: ignore[attr-defined] # shtab reads it from there
    report.script(shtab.complete(parser, shell=options.shell))
    return 0


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        verb
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb in action.choices.values()
    ]
