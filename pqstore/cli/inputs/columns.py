"""Options that name columns of Parquet and Arrow files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pqstore.interop.corpus import Wanted

__all__ = ["add_column_options", "column_settings", "wanted_columns"]


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Options of verbs that store vectors."""
    parser.add_argument(
        "--id-column",
        metavar="NAME",
        help="column of VECTORS with the ids, or none (default: the one called id, ids, _id or key)",
    )
    parser.add_argument(
        "--payload-columns",
        metavar="NAME,...",
        help="columns of VECTORS that become payloads; dates as text, times without a zone as UTC, nulls left out",
    )
    parser.add_argument("--skip-nulls", action="store_true", help="leave out rows of VECTORS without a vector")


def wanted_columns(options: argparse.Namespace) -> Wanted:
    """What of a table the options ask for.

    Raises:
        ValueError: two options say the same thing in two ways.
    """
    from pqstore.interop.corpus import NO_COLUMN, Wanted

    if options.ids is not None and options.id_column not in (None, NO_COLUMN):
        raise ValueError("give --ids FILE or --id-column NAME, not both")
    if options.payloads is not None and options.payload_columns:
        raise ValueError("give --payloads FILE or --payload-columns NAME,..., not both")
    return Wanted(
        id_column=NO_COLUMN if options.ids is not None else options.id_column,
        skip_nulls=options.skip_nulls,
        payload_columns=tuple(options.payload_columns.split(",")) if options.payload_columns else (),
    )


def column_settings(options: argparse.Namespace) -> dict[str, object]:
    """Those that are given, for the record of a build."""
    names = ("id_column", "payload_columns", "skip_nulls")
    return {name: value for name in names if (value := getattr(options, name))}
