"""Recall over bytes a vector, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from pqstore.cli.measuring.trials import Trial
from pqstore.errors import MissingDependencyError

__all__ = ["check_plot", "plot_trials"]


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
