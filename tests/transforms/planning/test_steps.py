"""The steps of planning: gains measured and plans written, in all local running modes."""

import dataclasses
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import soundfile
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints import TypeCheckError

from pipelines import cli, plan
from tests.trees import changed, files, identities, run_without_beam, write_noise
from transforms.audio import SourceReader
from transforms.corpora.librimix import read_plan
from transforms.errors import SourceError
from transforms.listing import NoiseClip, Utterance, noises_csv, utterances_csv
from transforms.loudness import normalised_gains
from transforms.plan import Mixture
from transforms.planning import plan_work
from transforms.planning.librimix import PlannedMixture, PlannedSubset, to_mixture
from transforms.planning.plan_files import PlanFiles
from transforms.planning.plan_work import PlanRow
from transforms.planning.steps import GainRow, MeasureGains, WritePlans, measure_mixture
from transforms.rejects import Reject
from transforms.storage import OutputTree

SAMPLES = 8000
IN_MEMORY = ["--runner=FnApiRunner"]


def planned(index: int, *, folder: str = "train") -> PlannedMixture:
    """A mixture of utterances ``index`` and ``index + 1``."""
    utterances = tuple(
        Utterance(str(index + k), "F", folder, SAMPLES, f"{folder}/{index + k}-1.flac") for k in range(2)
    )
    return PlannedMixture(
        utterances, NoiseClip("n.wav", "tr", SAMPLES, False, "n.wav"), (-25.0, -28.0, -33.0)
    )


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Utterances 1 to 6 of which 5 is silent and 6 is missing, and a stereo noise."""
    folder = tmp_path_factory.mktemp("corpora")
    for index in range(1, 5):
        write_noise(folder / f"speech/train/{index}-1.flac", SAMPLES + 10 * index, seed=index)
    soundfile.write(folder / "speech/train/5-1.flac", np.zeros(SAMPLES, dtype=np.int16), 16000)
    for name in ("n.wav", "n2.wav"):
        write_noise(folder / "noise" / name, SAMPLES + 500, seed=len(name), channels=2)
    return {"librispeech": str(folder / "speech"), "wham": str(folder / "noise")}


def run(flags: Sequence[str], build: Any) -> Any:
    with test_pipeline.TestPipeline(options=PipelineOptions(flags)) as pipeline:
        build(pipeline)
    return pipeline.result


def counters(result: Any, transform: type) -> dict[str, int]:
    namespace = f"{transform.__module__}.{transform.__name__}"
    found = result.metrics().query(MetricsFilter().with_namespace(namespace))["counters"]
    return {counter.key.metric.name: counter.committed for counter in found}


def measured(roots: dict[str, str], one: PlannedMixture) -> Mixture:
    return measure_mixture(one, SourceReader(roots, 16000))


def test_gains_are_those_of_the_decoded_signals(roots: dict[str, str]) -> None:
    found = measured(roots, planned(1))
    speech = [
        soundfile.read(Path(roots["librispeech"], f"train/{k}-1.flac"), dtype="float32")[0] for k in (1, 2)
    ]
    noise = soundfile.read(Path(roots["wham"], "n.wav"), dtype="float32")[0][: SAMPLES + 20, 0]
    gains = normalised_gains([*speech, noise], (-25.0, -28.0, -33.0), 16000, names=["a", "b", "c"])
    assert found == to_mixture(planned(1), gains)
    assert [source.level for source in found.sources] == list(gains)


@pytest.mark.parametrize(("index", "reason"), [(4, "is silent"), (6, "no such file")])
def test_a_source_that_cannot_serve_is_named(roots: dict[str, str], index: int, reason: str) -> None:
    with pytest.raises(SourceError, match=rf"librispeech:train/{max(index, 5)}-1\.flac: {reason}"):
        measured(roots, planned(index))


def test_measuring_in_every_mode(beam_mode: list[str], roots: dict[str, str]) -> None:
    rows = [PlanRow("train", number, planned(index)) for number, index in enumerate((1, 2, 4, 3, 5))]
    expected = [
        GainRow("train", number, measured(roots, planned(k))) for number, k in ((0, 1), (1, 2), (3, 3))
    ]

    def rejected(row: GainRow) -> tuple[int, str, str, str]:
        assert isinstance(row.result, Reject)
        return row.number, row.result.item, row.result.source, row.result.stage

    def build(pipeline: Any) -> None:
        found = pipeline | beam.Create(rows, reshuffle=False).with_output_types(PlanRow) | MeasureGains(roots)
        good = found | "Good" >> beam.Filter(lambda row: isinstance(row.result, Mixture))
        assert_that(good, equal_to(expected), label="Measured")
        bad = found | "Bad" >> beam.Filter(lambda row: isinstance(row.result, Reject))
        source = "librispeech:train/5-1.flac"
        assert_that(
            bad | beam.Map(rejected),
            equal_to([(2, "4-1_5-1", source, "read"), (4, "5-1_6-1", source, "read")]),
            label="Rejected",
        )

    assert counters(run(beam_mode, build), MeasureGains) == {"items_measured": 3, "items_rejected": 2}


def test_plans_are_written_in_plan_order_in_every_mode(
    beam_mode: list[str], roots: dict[str, str], tmp_path: Path
) -> None:
    mixtures = tuple(planned(1 + number % 3) for number in range(6))
    subsets = [PlannedSubset("train", mixtures), PlannedSubset("dev", ())]
    plans = PlanFiles(OutputTree(str(tmp_path)), 2, 4, roots).for_subsets(subsets)
    results: list[Mixture | Reject] = [
        to_mixture(one, (0.1 * (1 + number), 0.5, 0.5)) for number, one in enumerate(mixtures[:5])
    ]
    reject = Reject("x", "wham:n.wav", "read", "is gone", "restore it")
    rows = [GainRow("train", number, result) for number, result in enumerate([*results, reject])]

    def build(pipeline: Any) -> None:
        elements = pipeline | beam.Create(rows[::-1], reshuffle=False).with_output_types(GainRow)
        assert_that(elements | WritePlans(plans, ["train", "dev"]), equal_to([None, None]))

    result = run(beam_mode, build)
    assert counters(result, WritePlans) == {"plans_written": 2}
    found = (tmp_path / "Libri2Mix/libri2mix_train.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in found[1:]] == [repr(0.1 * k) for k in range(1, 6)]
    assert len((tmp_path / "Libri2Mix/libri2mix_dev.csv").read_text().splitlines()) == 1
    assert plans.rejects() == [reject]
    assert plans.stands("train")
    assert plans.stands("dev")


@pytest.mark.parametrize(
    ("step", "element"), [(MeasureGains({}), GainRow), (MeasureGains({}), int), ("write", PlanRow)]
)
def test_wrong_elements_are_refused_while_building(tmp_path: Path, step: Any, element: type) -> None:
    if step == "write":
        step = WritePlans(PlanFiles(OutputTree(str(tmp_path)), 2, 4, {}), ["train"])
    pipeline = test_pipeline.TestPipeline(options=PipelineOptions(IN_MEMORY))
    elements = pipeline | beam.Create([], reshuffle=False).with_output_types(element)
    with pytest.raises(TypeCheckError, match=element.__name__):
        elements | step


def test_measured_rows_are_typed() -> None:
    pipeline = test_pipeline.TestPipeline(options=PipelineOptions(IN_MEMORY))
    elements = pipeline | beam.Create([], reshuffle=False).with_output_types(PlanRow)
    assert (elements | MeasureGains({})).element_type is GainRow


def test_a_rerun_measures_nothing_and_writes_nothing(roots: dict[str, str], tmp_path: Path) -> None:
    _write_listings(tmp_path, roots)
    command = [
        *("plan", "librimix", "--librispeech-metadata", str(tmp_path / "speech")),
        *("--wham-metadata", str(tmp_path / "noise"), "--librispeech", roots["librispeech"]),
        *("--wham", roots["wham"], "--out", str(tmp_path / "out"), "--round-to", "1", "--quiet"),
        *("--workers", "1", "--subsets", "train-clean"),
    ]
    assert cli.main(command) == 0
    before = identities(tmp_path / "out")
    assert files(tmp_path / "out")
    part, mixtures = read_plan(str(tmp_path / "out/Libri2Mix/libri2mix_train-clean.csv"))
    assert (part.subset, len(mixtures)) == ("train", 2)
    assert run_without_beam(command) == 0
    assert changed(before, tmp_path / "out") == set()


def _write_listings(folder: Path, roots: dict[str, str]) -> None:
    """Lists utterances 1 to 4 and two noises."""
    utterances = [
        dataclasses.replace(one, subset="train-clean")
        for one in itertools.chain(planned(1).utterances, planned(3).utterances)
    ]
    noises = [dataclasses.replace(planned(1).noise, noise_id=name, path=name) for name in ("n.wav", "n2.wav")]
    (folder / "speech").mkdir()
    (folder / "noise").mkdir()
    (folder / "speech/train-clean.csv").write_bytes(utterances_csv(utterances))
    (folder / "noise/train.csv").write_bytes(noises_csv(noises))


def test_only_mixtures_that_changed_are_measured_again(roots: dict[str, str], tmp_path: Path) -> None:
    roots = {**roots, "librispeech": str(shutil.copytree(roots["librispeech"], tmp_path / "speech"))}
    subsets = [PlannedSubset("train", tuple(planned(1 + number) for number in range(3)))]
    out = tmp_path / "out"

    def measured() -> int:
        plans = PlanFiles(OutputTree(str(out)), 2, 4, roots).for_subsets(subsets)
        names = plan_work.store_rows(plans.tree, plan.rows_to_measure(plans, subsets))
        told = plan_work.store_facts(plans, ["train"])
        found = run(
            IN_MEMORY, lambda pipeline: plan.build(pipeline, files=told, names=names, listings=["train"])
        )
        plan_work.clear(plans.tree)
        return counters(found, MeasureGains).get("items_measured", 0)

    assert measured() == 3
    first = {name: (out / name).read_bytes() for name in files(out)}
    assert measured() == 0
    assert {name: (out / name).read_bytes() for name in files(out)} == first
    os.utime(Path(roots["librispeech"], subsets[0].mixtures[0].utterances[0].path), ns=(7, 7))
    assert measured() == 1


def test_a_plan_is_not_written_without_gains_that_are_lost(roots: dict[str, str], tmp_path: Path) -> None:
    """As when a worker writes it a second time after the first attempt broke off."""
    subsets = [PlannedSubset("train", (planned(1), planned(2)))]
    plans = PlanFiles(OutputTree(str(tmp_path)), 2, 4, roots).for_subsets(subsets)
    row = GainRow("train", 0, to_mixture(planned(1), (0.5, 0.5, 0.5)))

    def build(pipeline: Any) -> None:
        _ = pipeline | beam.Create([row], reshuffle=False) | WritePlans(plans, ["train"])

    with pytest.raises(Exception, match="run the same command again"):
        run(IN_MEMORY, build)
    assert not (tmp_path / "Libri2Mix").exists()
