"""What a run of the benchmarks leaves: a Markdown table, JSON, and a plot."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.comparing import Outcome

_PACKAGES = ("apache-beam", "numpy", "scipy", "soundfile", "pyarrow", "pyloudnorm")


@dataclass(frozen=True)
class Curve:
    """One line of the plot.

    Attributes:
        chart: title of the chart that it is in.
        label: what it is of.
        points: places and heights; places that are words make bars.
        x_title, y_title: what the axes show.
    """

    chart: str
    label: str
    points: tuple[tuple[float | str, float], ...]
    x_title: str
    y_title: str


def machine() -> dict[str, str]:
    """Describes the machine and what is installed on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns a Markdown table: a row per target, medians with extremes."""
    rows = ["| what | against | measured | wanted | median | lowest to highest | met |", f"|{7 * '---|'}"]
    for outcome in outcomes:
        for target in outcome.targets:
            figures = outcome.figures(target)
            median = outcome.median(target)
            sign = "≥" if target.kind == "speed-up" else "≤"
            cells = (
                outcome.name,
                outcome.against,
                target.measure.removesuffix("_s").removesuffix("_mb"),
                f"{sign} {target.shown(target.bound)}",
                target.shown(median),
                f"{target.shown(min(figures))} to {target.shown(max(figures))}",
                "yes" if target.is_met(median) else "**no**",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def notes(outcomes: Sequence[Outcome]) -> str:
    """Returns the figures without targets as a Markdown list."""
    return "".join(
        f"- {outcome.name}: {name}: {text}\n" for outcome in outcomes for name, text in outcome.notes.items()
    )


def write(
    folder: Path, outcomes: Sequence[Outcome], curves: Sequence[Curve], tables: Mapping[str, str]
) -> None:
    """Writes ``results.md``, ``results.json`` and ``results.png``.

    Args:
        folder: made if need be.
        outcomes: of the comparisons.
        curves: of the plot; without any there is none.
        tables: further Markdown tables by title.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    described = ", ".join(f"{name} {text}" for name, text in facts.items())
    further = "".join(f"\n## {title}\n\n{text}" for title, text in tables.items())
    text = f"# Benchmarks\n\n{described}\n\n{table(outcomes)}\n{notes(outcomes)}{further}"
    (folder / "results.md").write_text(text)
    content = {
        "machine": facts,
        "comparisons": [
            {**asdict(outcome), "medians": [outcome.median(target) for target in outcome.targets]}
            for outcome in outcomes
        ],
        "curves": [asdict(curve) for curve in curves],
    }
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    if curves:
        plot(folder / "results.png", curves)


def plot(path: Path, curves: Sequence[Curve]) -> None:
    """Draws curves as PNG, one chart beside the other."""
    from matplotlib.figure import Figure

    charts = list(dict.fromkeys(curve.chart for curve in curves))
    figure = Figure(figsize=(4.5 * len(charts), 3.6), layout="constrained")
    axes = figure.subplots(1, len(charts), squeeze=False)[0]
    for axis, chart in zip(axes, charts, strict=True):
        group = [curve for curve in curves if curve.chart == chart]
        for curve in group:
            places, heights = zip(*curve.points, strict=True)
            if any(isinstance(place, str) for place in places):
                axis.barh(places, heights, label=curve.label)
                axis.invert_yaxis()
            else:
                axis.plot(places, heights, marker="o", label=curve.label)
        words = any(isinstance(place, str) for curve in group for place, _ in curve.points)
        titles = (group[0].x_title, group[0].y_title)
        axis.set(title=chart, xlabel=titles[words], ylabel=titles[not words])
        axis.set_xlim(left=0)
        axis.set_ylim(**({} if words else {"bottom": 0}))
        if len(group) > 1:
            axis.legend()
    figure.savefig(path, dpi=120)
