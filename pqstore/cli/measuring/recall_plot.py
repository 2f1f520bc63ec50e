"""Recall over bytes a vector, or over time, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pqstore.cli.measuring.trials import Trial
from pqstore.errors import MissingDependencyError

if TYPE_CHECKING:
    from pqstore.index.recall.report import RecallReport, RecallRow

__all__ = ["check_plot", "plot_scans", "plot_trials"]


def check_plot(path: str) -> None:
    """Raise before hours of work, not after, when the picture cannot be made.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        ValueError: no picture has a name that ends so.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependencyError("a plot needs matplotlib: pip install 'pqstore[plot]'") from error
    known = Figure().canvas.get_supported_filetypes()
    if path.rpartition(".")[2] not in known:
        raise ValueError(f"{path}: give a name that ends in one of {', '.join(sorted(known))}")


def plot_trials(path: str, trials: Sequence[Trial], k: int, target: float | None, title: str) -> None:
    """One line for each kind of quantizer and Ks; marks that came with an index stand alone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    lines: dict[str, list[Trial]] = {}
    for trial in trials:
        tried = trial.training_seconds is not None
        again = "" if trial.rerank is None else f", rerank {trial.rerank}"
        lines.setdefault(f"{trial.kind}, Ks {trial.Ks}{again}" if tried else trial.name, []).append(trial)
    for name, line in lines.items():
        ordered = sorted(line, key=lambda trial: trial.bytes)
        style = "o-" if line[0].training_seconds is not None else "*"
        axes.plot([t.bytes for t in ordered], [t.recall[k] for t in ordered], style, label=name, markersize=7)
    if target is not None:
        axes.axhline(target, color="grey", linestyle=":", label=f"target {target:g}")
    axes.set(xlabel="bytes a vector", ylabel=f"recall@{k}", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def plot_scans(path: str, report: RecallReport, k: int, target: float | None) -> None:
    """One line for each number of candidates that are re-ranked, along the rows of lists that are read; a star stands
    for all codes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    lines: dict[int | None, list[RecallRow]] = {}
    for row in report.rows:
        lines.setdefault(row.rerank, []).append(row)
    for rerank, line in lines.items():
        name = "codes alone" if rerank is None else f"rerank {rerank}"
        some, every = ([row for row in line if (row.scan is None) == whole] for whole in (False, True))
        (drawn,) = axes.plot([r.milliseconds for r in some], [r.recall[k] for r in some], "o-", label=name)
        for row in some:
            axes.annotate(f"{row.scan:,}", (row.milliseconds, row.recall[k]), fontsize=7)
        axes.plot([r.milliseconds for r in every], [r.recall[k] for r in every], "*", color=drawn.get_color())
    if target is not None:
        axes.axhline(target, color="grey", linestyle=":", label=f"target {target:g}")
    axes.set(
        xlabel="ms a query alone, k = 10",
        ylabel=f"recall@{k}",
        xscale="log",
        title=f"{report.queries:,} queries, {report.vectors:,} vectors; rows read beside each point",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
