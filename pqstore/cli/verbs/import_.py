"""Make an index from a Faiss index file, plain arrays of codes, or a nanopq pickle.

SOURCE is one of: a Faiss index file (IndexPQ and what wraps it; Faiss is not needed); a directory that pqstore export
--to npy wrote; a .npy file of codes (n, M), with --quantizer; a pickled nanopq PQ or OPQ, which gives an index without
vectors (nothing of a pickle is executed). The index appears when it is whole.

examples:
  pqstore import vectors.faiss new-index
  pqstore import vectors.faiss new-index --ids names.txt
  pqstore import codes.npy new-index --quantizer nanopq.pkl --ids numbers.npy
  pqstore import exported-codes new-index
  pqstore import nanopq.pkl new-index
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pqstore.cli.inputs.ids import ID_TYPE_HELP, IDS_HELP, read_ids, read_ids_of
from pqstore.cli.inputs.paths import path
from pqstore.cli.report import Report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", type=path)
    parser.add_argument("index", metavar="INDEX", type=path, help="the directory to make")
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("faiss", "npy", "nanopq"),
        help="what SOURCE is (default: told from its name and first bytes)",
    )
    parser.add_argument("--quantizer", metavar="FILE", type=path, help="of codes: saved by pqstore, or a nanopq pickle")
    parser.add_argument(
        "--ids", metavar="FILE", type=path, help=f"{IDS_HELP} (default: those of SOURCE, or 0, 1, 2, ...)"
    )
    parser.add_argument("--id-type", choices=("int64", "str"), help=ID_TYPE_HELP)


def run(options: argparse.Namespace, report: Report) -> int:
    from pathlib import Path

    from pqstore.cli.inputs.codes_directory import load_quantizer

    source = Path(options.source)
    origin = options.origin or _origin_of(source)
    if origin != "npy" and options.quantizer is not None:
        raise ValueError(f"--quantizer goes with codes (.npy); {source} is read as {origin} and brings its own")
    if options.id_type is not None and options.ids is None and not source.is_dir():
        raise ValueError("--id-type says how the ids of --ids FILE are read: give that too")
    if origin == "faiss":
        rows = _import_faiss(options, report)
    elif origin == "npy":
        rows = _import_codes(source, options, report)
    else:
        from pqstore import Index

        if options.ids is not None:
            raise ValueError("--ids has nothing to name: a nanopq pickle holds no vectors")
        with Index.create(options.index, load_quantizer(source)):
            rows = 0
    report.say(f"{options.index}: {rows:,} vectors, imported from {source} ({origin})")
    return 0


def _origin_of(source: Path) -> str:
    if source.is_dir() or source.suffix == ".npy":
        return "npy"
    with source.open("rb") as stream:
        # Every pickle since protocol 2 begins so; names serve for older ones.
        is_pickle = stream.read(1) == b"\x80" or source.suffix in (".pkl", ".pickle")
    return "nanopq" if is_pickle else "faiss"


def _import_faiss(options: argparse.Namespace, report: Report) -> int:
    from pqstore import Index

    ids = None if options.ids is None else read_ids(options.ids, options.id_type, report)
    with Index.from_faiss(options.index, options.source, ids=ids) as index:
        return len(index)


def _import_codes(source: Path, options: argparse.Namespace, report: Report) -> int:
    from pqstore.cli.inputs.codes_directory import ids_file, import_codes, load_quantizer, open_codes

    codes_path, ids, quantizer = source, options.ids, options.quantizer
    if source.is_dir():
        codes_path, ids = source / "codes.npy", ids or ids_file(source)
        quantizer = quantizer or source / "quantizer.npz"
    if quantizer is None:
        raise ValueError(f"{source} holds codes: say which quantizer made them with --quantizer FILE")
    codes = open_codes(codes_path)
    names = read_ids_of(len(codes), ids, options.id_type, report, "codes")
    with report.counter("importing", len(codes)) as advance:
        return import_codes(options.index, load_quantizer(quantizer), codes, str(codes_path), names, advance)
