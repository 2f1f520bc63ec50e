"""Write an index for other programs: as a Faiss index file, or as plain arrays.

faiss: an IndexIDMap2 around an IndexPQ (for OPQ and cosine with its transform), whose search returns these ids and
distances. Faiss has no string ids: it gets numbers, and OUTPUT.ids.jsonl names them, one a line. Faiss is not needed.
npy: a directory of codes.npy (n, M), ids.npy (strings: ids.jsonl) and quantizer.npz; pqstore import reads it.

examples:
  pqstore export my-index my-index.faiss --to faiss
  pqstore export my-index my-codes --to npy
"""

from __future__ import annotations

import argparse

from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", type=path)
    parser.add_argument("output", metavar="OUTPUT", type=path, help="the file (faiss) or directory (npy) to write")
    parser.add_argument("--to", choices=("faiss", "npy"), required=True)


def run(options: argparse.Namespace, report: Report) -> int:
    from pathlib import Path

    from pqstore import Index
    from pqstore.cli.inputs.codes_directory import write_directory

    with Index.open(options.index, readonly=True) as index:
        if options.to == "npy":
            with report.counter("exporting", len(index)) as advance:
                rows = write_directory(index, options.output, advance)
            report.say(f"{options.output}: {rows:,} codes, their ids and the quantizer")
            return 0
        index.to_faiss(options.output)
        report.say(f"{options.output}: {len(index):,} vectors, {Path(options.output).stat().st_size / 1e6:,.1f} MB")
        if index.id_type == "str" and len(index):
            report.say(f"{options.output}.ids.jsonl: the string ids, one a line: line i is what Faiss calls i")
    return 0
