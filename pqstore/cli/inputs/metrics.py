"""The metric that is meant: what an option says, or else the files; where they contradict each other, it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pqstore.cli.report import Report
    from pqstore.interop.corpus import Statement
    from pqstore.quantizer import Metric

__all__ = ["METRIC_HELP", "metric_of", "note_metric"]

METRIC_HELP = "default: what VECTORS say of it (distance, metric), or l2"


def metric_of(statements: Sequence[Statement], option: Metric | None, report: Report) -> Metric:
    """The metric for new codes.

    Raises:
        ValueError: files say different things, or name a metric that there is not, and the option is not given.
    """
    if option is not None:
        note_metric(statements, option, "--metric", report)
        return option
    if not statements:
        return "l2"
    stated = {statement.metric for statement in statements}
    metric = statements[0].metric
    if metric is None or len(stated) > 1:
        said = "; ".join(sorted({str(statement) for statement in statements})[:4])
        raise ValueError(f"{said}: say which metric is meant with --metric l2, dot or cosine")
    report.note(f"metric {metric}: {statements[0]}")
    return metric


def note_metric(statements: Sequence[Statement], metric: str, source: str, report: Report) -> None:
    """Tell where files contradict the metric that counts; `source` says whose it is."""
    for statement in {str(statement): statement for statement in statements if statement.metric != metric}.values():
        report.note(f"{statement}, but {metric} counts, as {source} says")
