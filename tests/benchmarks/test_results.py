"""The table, the JSON and the plot of a run."""

import json
from pathlib import Path

from PIL import Image

from benchmarks.comparing import Cost, Outcome, Target
from benchmarks.results import Curve, machine, notes, table, write

FASTER = Outcome(
    "plan",
    "the script",
    (Target("speed-up", 8.0), Target("share", 0.5, "cpu_s")),
    (Cost(1.0, 1.0), Cost(2.0, 1.0), Cost(1.0, 1.0)),
    (Cost(10.0, 1.0), Cost(10.0, 1.0), Cost(9.0, 1.0)),
    {"start-up": "1.20 s"},
)
LIMITED = Outcome("help", "a limit", (Target("limit", 0.3),), (Cost(0.2, 0.1),))
CURVES = (
    Curve("Stages", "stages", (("decode", 1.5), ("write", 2.5)), "", "ms"),
    Curve("Workers", "WAV", ((1.0, 40.0), (2.0, 79.0)), "workers", "mixtures/s"),
    Curve("Workers", "three formats", ((1.0, 30.0), (2.0, 59.0)), "workers", "mixtures/s"),
)


def test_a_row_per_target_with_medians_and_extremes() -> None:
    assert table([FASTER, LIMITED]).splitlines() == [
        "| what | against | measured | wanted | median | lowest to highest | met |",
        "|---|---|---|---|---|---|---|",
        "| plan | the script | wall | ≥ 8.00x | 9.00x | 5.00x to 10.00x | yes |",
        "| plan | the script | cpu | ≤ 50.0 % | 100.0 % | 100.0 % to 100.0 % | **no** |",
        "| help | a limit | wall | ≤ 0.30 s | 0.20 s | 0.20 s to 0.20 s | yes |",
    ]


def test_figures_without_targets_are_listed() -> None:
    assert notes([FASTER, LIMITED]) == "- plan: start-up: 1.20 s\n"


def test_a_run_leaves_table_json_and_plot(tmp_path: Path) -> None:
    out = tmp_path / "results"
    write(out, [FASTER, LIMITED], CURVES, {"Bookkeeping": "| shards |\n|---|\n"})
    text = (out / "results.md").read_text()
    assert table([FASTER, LIMITED]) in text
    assert "## Bookkeeping\n\n| shards |" in text
    assert f"cores {machine()['cores']}" in text
    content = json.loads((out / "results.json").read_text())
    assert content["comparisons"][0]["medians"] == [9.0, 1.0]
    assert content["curves"][0]["points"] == [["decode", 1.5], ["write", 2.5]]
    with Image.open(out / "results.png") as picture:
        assert picture.width > picture.height > 300


def test_without_curves_there_is_no_plot(tmp_path: Path) -> None:
    write(tmp_path, [LIMITED], (), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "results.md"]


def test_the_machine_is_described() -> None:
    facts = machine()
    assert int(facts["cores"]) >= 1
    assert facts["memory"].endswith(" GiB")
    assert {"processor", "system", "python", "numpy", "apache-beam"} <= facts.keys()
