"""The report: true to what was made, readable by everybody, and the same bytes every time."""

import base64
import dataclasses
import io
import itertools
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TinyCorpora
from tests.trees import make_corpus
from transforms import report
from transforms.finishing import PartSummary, finish_part
from transforms.plan import NOISE, Mixture, Part, RenderOptions, Source
from transforms.rejects import Reject
from transforms.rendering import render_mixture
from transforms.report import Listening, group_rejects, listen, make_report
from transforms.sharding import RenderJob, process_shard, store_plan
from transforms.statistics import Histogram, PartStatistics, SpeakerUse

TRAIN, DEV = (Part("librimix", "Libri2Mix", subset) for subset in ("train-100", "dev"))
TYPES = ("mix_clean", "mix_both", "mix_single")
OPTIONS = RenderOptions(types=TYPES, formats=("wav", "tfrecord"), shard_size=3)
MISSING = Source("s1", "librispeech", "train-clean-100/1/2/missing.flac", speaker="77")


@dataclasses.dataclass(frozen=True)
class Made:
    """A rendered output and what is known of it."""

    job: RenderJob
    summaries: list[PartSummary]


class Page(HTMLParser):
    """A parsed report: elements with their attributes, visible text, and any tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.problems: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self._open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a person reads, charts apart, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of some kinds."""
        return [attributes for tag, attributes in self.elements if tag in tags]


def talker(role: str, path: Path, root: Path, *, level: float) -> Source:
    place = path.relative_to(root).as_posix()
    return Source(role, "librispeech", place, level=level, speaker=path.name.split("-")[0])


def mixtures(corpora: TinyCorpora, count: int, *, start: int = 0) -> list[Mixture]:
    """Two talkers and a noise each, out of the tiny corpora."""
    speech = sorted((corpora.librispeech / "train-clean-100").rglob("*.flac"))
    noises = sorted((corpora.wham).rglob("tr/*.wav"))
    pairs = list(itertools.permutations(speech, 2))[start : start + count]
    made = []
    for number, (first, second) in enumerate(pairs):
        noise = noises[number % len(noises)].relative_to(corpora.wham).as_posix()
        sources = (
            talker("s1", first, corpora.librispeech, level=0.5),
            talker("s2", second, corpora.librispeech, level=1.25),
            Source(NOISE, "wham", noise, level=0.25, fit="loop", channel=0),
        )
        made.append(Mixture(f"item-{number}", sources))
    return made


def render(job: RenderJob, plans: dict[Part, list[Mixture]]) -> list[PartSummary]:
    """Renders plans and merges their parts, as a run does."""
    for part, planned in plans.items():
        for shard in store_plan(job, part, planned).shards:
            process_shard(job, shard)
    return [finish_part(job, part.name) for part in plans]


@pytest.fixture(scope="module")
def made(tiny_corpora: TinyCorpora, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two parts: nine items in shards of three, the fifth of them rejected, and two items."""
    out = tmp_path_factory.mktemp("report") / "out"
    roots = {"librispeech": str(tiny_corpora.librispeech), "wham": str(tiny_corpora.wham)}
    job = RenderJob(str(out), "librimix", roots, OPTIONS)
    train = mixtures(tiny_corpora, 9)
    train[4] = dataclasses.replace(train[4], sources=(MISSING, *train[4].sources[1:]))
    return Made(job, render(job, {TRAIN: train, DEV: mixtures(tiny_corpora, 2, start=9)}))


@pytest.fixture(scope="module")
def page(made: Made) -> Page:
    """The parsed report of that output."""
    return Page(make_report(made.job, made.summaries))


def summary_of(
    *, rejects: Sequence[Reject] = (), statistics: PartStatistics | None = None, part: Part = TRAIN
) -> PartSummary:
    """A summary that no run has made."""
    found = statistics or PartStatistics()
    return PartSummary(part, 1, "absolute", found.items, tuple(rejects), (), found)


def without_items(made: Made, *summaries: PartSummary) -> str:
    """A report of summaries whose items cannot be rendered."""
    job = dataclasses.replace(made.job, out=f"{made.job.out}/nothing-here")
    return make_report(job, summaries)


def rejects(count: int, reason: str = "is silent: every sample is zero") -> list[Reject]:
    return [
        Reject(f"item-{number}", f"wham:tr/{number}.wav", "read", reason, "replace it")
        for number in range(count)
    ]


# --- what was made ---


def test_the_header_says_what_was_made_and_from_what(page: Page) -> None:
    assert "LibriMix: what was made" in page.text
    assert "planned 11 = written 10 + rejected 1" in page.text
    assert "Parts Libri2Mix-train-100, Libri2Mix-dev" in page.text
    assert "Sources librispeech (CC BY 4.0), wham (CC BY-NC 4.0)" in page.text
    assert "Mixtures mix_clean, mix_both, mix_single Rates 8000, 16000 Hz Length modes min, max" in page.text
    assert "Formats wav, tfrecord Shard size 3 mixtures Paths in tables absolute" in page.text


def test_every_part_is_accounted_for(page: Page, made: Made) -> None:
    speakers = [len(summary.statistics.speakers) for summary in made.summaries]
    union = {name for summary in made.summaries for name in summary.statistics.speakers}
    assert f"Libri2Mix-train-100 9 8 1 {speakers[0]}" in page.text
    assert f"Libri2Mix-dev 2 2 0 {speakers[1]}" in page.text
    assert f"All 11 10 1 {len(union)}" in page.text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0:00:00"), (61.6, "0:01:02"), (3599.7, "1:00:00"), (3600 * 1234, "1,234:00:00")],
)
def test_playing_time_is_told_per_variant(made: Made, seconds: float, expected: str) -> None:
    times = {"8000/min": seconds, "44100/max": 1.0}
    statistics = PartStatistics(seconds=times, bytes_of={"wav": 5_300_000_000})
    text = Page(without_items(made, summary_of(statistics=statistics), summary_of(part=DEV))).text
    assert "Playing time of the mixtures (h:mm:ss) Part 8 kHz min 44.1 kHz max" in text
    assert f"Libri2Mix-train-100 {expected} 0:00:01 Libri2Mix-dev 0:00:00 0:00:00 All {expected}" in text
    assert "Size by format Part wav Libri2Mix-train-100 5.3 GB Libri2Mix-dev 0 Bytes All 5.3 GB" in text


def test_an_output_without_finished_parts_has_a_report_too(made: Made) -> None:
    page = Page(make_report(made.job, []))
    assert page.problems == []
    assert "planned 0 = written 0 + rejected 0" in page.text
    assert "No part of this output is finished." in page.text


def test_an_output_without_mixtures_has_no_line_on_them(made: Made) -> None:
    options = dataclasses.replace(made.job.options, types=())
    page = Page(make_report(dataclasses.replace(made.job, options=options), []))
    assert page.problems == []
    assert "Sources librispeech (CC BY 4.0), wham (CC BY-NC 4.0) Rates 8000" in page.text


# --- rejects ---


def test_rejects_come_with_reason_example_and_way_out(page: Page) -> None:
    assert re.search(r"1 × read: no such file", page.text)
    assert "The way out: restore the file or plan without it." in page.text
    assert f"item-4 : {MISSING.name}" in page.text


def test_rejects_that_differ_in_numbers_are_one_kind() -> None:
    found = group_rejects(
        [
            Reject("a", "x:1", "read", "has 8000 Hz, wanted 16000 Hz", "resample"),
            Reject("b", "x:2", "read", "is silent", "replace it"),
            Reject("c", "x:3", "read", "has 44100 Hz, wanted 16000 Hz", "resample"),
            Reject("d", "x:4", "extend", "has 44100 Hz, wanted 16000 Hz", "resample"),
        ]
    )
    assert [(group.stage, group.reason, group.count) for group in found] == [
        ("read", "has … Hz, wanted … Hz", 2),
        ("read", "is silent", 1),
        ("extend", "has 44100 Hz, wanted 16000 Hz", 1),
    ]
    assert [example.item for example in found[0].examples] == ["a", "c"]


@given(st.lists(st.builds(Reject, *[st.sampled_from(["a", "b 1", "b 2", "b 1.5"])] * 5)))
def test_grouping_loses_no_reject(given_rejects: list[Reject]) -> None:
    groups = group_rejects(given_rejects)
    counts = [group.count for group in groups]
    assert sum(counts) == len(given_rejects)
    assert counts == sorted(counts, reverse=True)
    kinds = Counter((one.stage, re.sub(r"\d+(\.\d+)?", "#", one.reason), one.remedy) for one in given_rejects)
    assert sorted(kinds.values()) == sorted(counts)
    assert all(len(group.examples) == min(3, group.count) for group in groups)


def test_many_rejects_show_a_few_examples_and_say_where_the_rest_is(made: Made) -> None:
    page = Page(without_items(made, summary_of(rejects=rejects(1234))))
    assert "1,234 × read: is silent" in page.text
    assert "The first 3:" in page.text
    assert "item-2" in page.text
    assert "item-3" not in page.text
    assert {"href": "rejects.csv"} in page.all("a")


def test_reasons_are_shown_with_each_example_where_they_differ(made: Made) -> None:
    different = rejects(1, "has 7 samples") + rejects(1, "has 9 samples")
    text = Page(without_items(made, summary_of(rejects=different))).text
    assert "2 × read: has … samples" in text
    assert "wham:tr/0.wav has 7 samples" in text


def test_very_many_kinds_of_reject_are_cut_short(made: Made) -> None:
    kinds = [dataclasses.replace(rejects(1)[0], reason=f"reason {'x' * number}") for number in range(1, 27)]
    text = Page(without_items(made, summary_of(rejects=kinds))).text
    assert text.count("The way out:") == 20
    assert "There are 6 more kinds of reject." in text


# --- distributions ---


def test_every_quantity_has_its_panels_in_order(made: Made) -> None:
    families = report.distributions(made.summaries)
    clean, both = (
        ["s1 in mix_clean", "s2 in mix_clean"],
        ["s1 in mix_both", "s2 in mix_both", "noise in mix_both"],
    )
    assert [(family.title, [panel.caption for panel in family.panels]) for family in families] == [
        ("Length", ["min mode", "max mode"]),
        ("Talkers", ["mixture"]),
        ("Overlap", ["speech"]),
        ("Planned gain", ["s1", "s2", "noise"]),
        ("SNR", [*clean, *both, "s1 in mix_single", "noise in mix_single"]),
        ("Use of utterances", ["utterance"]),
        ("Use of speakers", ["speaker"]),
        ("Utterances of speakers", ["speaker"]),
    ]


def test_kinds_of_levels_never_share_an_axis(made: Made) -> None:
    levels = {"level_lufs s1": "LUFS", "snr_planned_db s2": "dB", "level_rms_db noise": "dB"}
    histograms = {name: Histogram(unit, 1.0, {-20 - k: 2}) for k, (name, unit) in enumerate(levels.items())}
    families = report.distributions([summary_of(statistics=PartStatistics(histograms=histograms))])
    assert [(family.title, len(family.panels)) for family in families] == [
        ("Planned loudness", 1),
        ("Planned level", 1),
        ("Planned SNR", 1),
    ]
    assert "LUFS" in families[0].panels[0].svg


def test_a_role_that_only_some_parts_have_stands_with_its_mixture(made: Made) -> None:
    names = ["snr_db mix_clean s1", "snr_db mix_both s1", "snr_db mix_both noise"]
    more = ["snr_db mix_clean s3", "snr_db mix_both s3"]
    summaries = [
        summary_of(
            part=part, statistics=PartStatistics(histograms={n: Histogram("dB", 1.0, {0: 2}) for n in group})
        )
        for part, group in ((TRAIN, names), (DEV, names[:1] + more))
    ]
    (family,) = report.distributions(summaries)
    captions = [panel.caption for panel in family.panels]
    clean, both = ["s1 in mix_clean", "s3 in mix_clean"], ["s1 in mix_both", "s3 in mix_both"]
    assert captions == [*clean, *both, "noise in mix_both"]
    assert "Libri2Mix-train-100" not in family.panels[1].svg
    assert "Libri2Mix-dev" in family.panels[1].svg


def test_scales_of_every_variant_have_a_panel() -> None:
    names = ("scale_db 8000/min", "scale_db 22050/max")
    histograms = {name: Histogram("dB", 0.5, {-2: 3}) for name in names}
    (family,) = report.distributions([summary_of(statistics=PartStatistics(histograms=histograms))])
    assert family.title == "Clip scale"
    assert [panel.caption for panel in family.panels] == ["8 kHz min", "22.05 kHz max"]


def test_speakers_and_their_utterances_have_a_table_per_part(page: Page, made: Made) -> None:
    assert "Speakers and their utterances" in page.text
    (family,) = report.speaker_tables(made.summaries)
    assert [panel.caption for panel in family.panels] == ["Libri2Mix-train-100", "Libri2Mix-dev"]
    for panel, summary in zip(family.panels, made.summaries, strict=True):
        counts = map(int, re.findall(r"[;:] (\d+) with", panel.svg))
        assert sum(counts) == len(summary.statistics.speakers)


def test_a_table_says_how_many_speakers_it_leaves_out() -> None:
    uses = [SpeakerUse(number % 10 + 1, 10, 1000) for number in range(10)] + [SpeakerUse(500, 10, 2)]
    (family,) = report.speaker_tables([summary_of(statistics=PartStatistics(speaker_use=uses))])
    assert family.panels[0].caption == "Libri2Mix-train-100, 2 beyond"


def test_without_known_speakers_there_is_no_table_of_them() -> None:
    assert report.speaker_tables([summary_of()]) == []


def test_the_gains_of_the_plan_are_told_in_db(made: Made) -> None:
    (gain,) = (one for one in report.distributions(made.summaries) if one.title == "Planned gain")
    labels = [re.findall(r'aria-label="([^"]*)"', panel.svg)[0] for panel in gain.panels]
    assert labels[0].startswith(
        "Planned gain, s1. Libri2Mix-train-100: median −6.0 dB; Libri2Mix-dev: median −6.0 dB"
    )
    assert labels[1].startswith("Planned gain, s2. Libri2Mix-train-100: median 1.9 dB")


def test_what_is_not_there_is_said_or_left_out(made: Made) -> None:
    empty = PartStatistics(histograms={"snr_db mix_clean s1": Histogram("dB", 1.0)})
    text = Page(without_items(made, summary_of(statistics=empty))).text
    assert "Rejects None: every planned item was written. Look and listen" in text


def test_the_size_depends_on_the_shape_of_a_corpus_and_not_on_its_items(made: Made) -> None:
    few, many = (
        PartStatistics(items=n, histograms={"length_s min": Histogram("s", 0.5, {4: n, 5: 2 * n, 6: n})})
        for n in (2, 100_000)
    )
    sizes = [len(without_items(made, summary_of(statistics=one))) for one in (few, many)]
    assert abs(sizes[0] - sizes[1]) < 100


# --- items to look at and listen to ---


def streams(listening: Listening) -> Iterator[tuple[str, str, np.ndarray[Any, Any], int]]:
    """Yields item, stream, decoded samples and rate of everything that can be heard."""
    for item in listening.items:
        for stream in item.streams:
            kind, encoded = stream.audio.split(",")
            assert kind == "data:audio/flac;base64"
            samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(encoded)), dtype="int16")
            yield item.id, stream.name, samples, rate_hz


def test_what_is_heard_is_what_was_written(made: Made) -> None:
    found = list(streams(listen(made.job, made.summaries[0], part_count=2)))
    assert len(found) == 8 * 4
    for item, stream, samples, rate_hz in found:
        path = Path(made.job.out, "Libri2Mix/wav8k/min/train-100", stream, f"{item}.wav")
        written, _ = soundfile.read(path, dtype="int16")
        assert rate_hz == 8000
        np.testing.assert_array_equal(samples, written)


def test_items_are_spread_over_the_plan_and_rejected_ones_passed_over(made: Made) -> None:
    train, dev = (listen(made.job, summary, part_count=2) for summary in made.summaries)
    assert sorted(item.id for item in train.items) == [f"item-{k}" for k in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert sorted(item.id for item in dev.items) == ["item-0", "item-1"]


def test_the_mixture_comes_first_and_every_source_follows(made: Made) -> None:
    item = listen(made.job, made.summaries[0], part_count=2).items[0]
    assert [stream.name for stream in item.streams] == ["mix_both", "s1", "s2", "noise"]
    mixture, first, second, noise = (stream.description for stream in item.streams)
    assert mixture == "the mixture"
    assert re.fullmatch(r"speaker \d+, gain −6\.0 dB, librispeech:train-clean-100/\S+\.flac", first)
    assert ", gain +1.9 dB, librispeech:" in second
    assert noise.startswith("gain −12.0 dB, wham:tr/")


def test_a_source_of_gain_zero_has_no_level_in_db(made: Made, tmp_path: Path) -> None:
    planned = made.job.stored_plan(DEV.name).read_all()
    muted = [
        dataclasses.replace(one, sources=(dataclasses.replace(one.sources[0], level=0.0), *one.sources[1:]))
        for one in planned
    ]
    job = dataclasses.replace(made.job, out=str(tmp_path / "out"))
    (summary,) = render(job, {DEV: muted})
    assert ", gain 0, " in listen(job, summary, part_count=1).items[0].streams[1].description


def test_the_gain_is_what_the_recipe_made_of_a_level(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", recipe="wsj0mix")
    job = corpus.job(tmp_path / "out", RenderOptions(rates_hz=(8000,), modes=("max",), types=("mix",)))
    (summary,) = render(job, {corpus.part: corpus.mixtures})
    item = listen(job, summary, part_count=1).items[0]
    (mixture,) = (mixture for mixture in corpus.mixtures if mixture.id == item.id)
    rendered = render_mixture(mixture, job.rules, job.options, job.reader().read).variants[0]
    texts = [f"{20 * math.log10(gain):+.1f}".replace("-", "−") for gain in rendered.gains.values()]
    found = [stream.description for stream in item.streams[1:]]
    assert [re.findall(r"gain (\S+) dB, wsj0:", text) for text in found] == [[text] for text in texts]
    assert mixture.sources[0].level == 1.5
    assert "1.5" not in texts[0]


def test_items_do_not_depend_on_the_formats_written(made: Made) -> None:
    options = dataclasses.replace(made.job.options, formats=("webdataset",))
    other = dataclasses.replace(made.summaries[1], options=options)
    assert listen(made.job, other, part_count=2) == listen(made.job, made.summaries[1], part_count=2)


def test_only_what_was_asked_for_is_read(made: Made) -> None:
    options = dataclasses.replace(made.job.options, types=("mix_clean",), rates_hz=(16000,), modes=("max",))
    roots = {"librispeech": made.job.roots["librispeech"]}
    job = dataclasses.replace(made.job, roots=roots)
    listening = listen(job, dataclasses.replace(made.summaries[1], options=options), part_count=1)
    assert [stream.name for stream in listening.items[0].streams] == ["mix_clean", "s1", "s2"]
    assert {rate_hz for *_, rate_hz in streams(listening)} == {16000}
    assert listening.items[0].variant.mode == "max"


def test_a_source_lost_since_costs_its_items_only(made: Made, tmp_path: Path) -> None:
    train = list(made.job.stored_plan(TRAIN.name).read_all())
    lost = dataclasses.replace(train[1], sources=(MISSING, *train[1].sources[1:]))
    job = dataclasses.replace(made.job, out=str(tmp_path / "out"))
    store_plan(job, TRAIN, [train[0], lost, *train[2:]])
    listening = listen(job, made.summaries[0], part_count=1)
    assert sorted(item.id for item in listening.items) == [f"item-{k}" for k in (0, 2, 3, 5, 6, 7, 8)]


@pytest.mark.parametrize("root", ["/no/such/folder", "memory://no-such-bucket/here"])
def test_a_root_that_is_gone_leaves_the_rest_of_the_report(made: Made, root: str) -> None:
    job = dataclasses.replace(made.job, roots={"librispeech": root, "wham": made.job.roots["wham"]})
    page = Page(make_report(job, made.summaries))
    assert "planned 11 = written 10 + rejected 1" in page.text
    assert page.text.count("There is nothing to listen to, since the plan or a source cannot be read") == 2
    assert "librispeech:train-clean-100" in page.text
    assert page.all("audio") == []


def test_a_note_says_why_there_is_nothing_to_listen_to(made: Made, tmp_path: Path) -> None:
    unnamed = dataclasses.replace(made.job, roots={"librispeech": made.job.roots["librispeech"]})
    elsewhere = dataclasses.replace(made.job, out=str(tmp_path))
    assert "was not given the root 'wham'" in listen(unnamed, made.summaries[0], part_count=1).note
    assert "no such plan" in listen(elsewhere, made.summaries[0], part_count=1).note
    assert "No item of this part was written" in listen(made.job, summary_of(), part_count=1).note


@pytest.fixture(scope="module")
def long_item(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One mixture of 15 s of white noise, which no chart and no format can compress."""
    folder = tmp_path_factory.mktemp("long")
    generator = np.random.default_rng(5)
    for name in ("a", "b", "n"):
        soundfile.write(
            folder / f"{name}.wav", generator.uniform(-0.3, 0.3, 240_000), 16000, subtype="PCM_16"
        )
    sources = (Source("s1", "librispeech", "a.wav"), Source("s2", "librispeech", "b.wav"))
    mixture = Mixture("long", (*sources, Source(NOISE, "wham", "n.wav", fit="loop")))
    roots = {"librispeech": str(folder), "wham": str(folder)}
    job = RenderJob(str(folder / "out"), "librimix", roots, dataclasses.replace(OPTIONS, formats=("wav",)))
    return Made(job, render(job, {TRAIN: [mixture]}))


@pytest.mark.parametrize(("part_count", "seconds"), [(1, 10.0), (4, 3.5), (1000, 3.0)])
def test_excerpts_are_shorter_where_there_are_more_parts(
    long_item: Made, part_count: int, seconds: float
) -> None:
    listening = listen(long_item.job, long_item.summaries[0], part_count=part_count)
    assert (listening.items[0].excerpt_s, listening.items[0].length_s) == (seconds, 15.0)
    assert {len(samples) / rate_hz for *_, samples, rate_hz in streams(listening)} == {seconds}


def test_the_report_of_four_parts_stays_small(long_item: Made) -> None:
    (item,) = listen(long_item.job, long_item.summaries[0], part_count=4).items
    item_bytes = sum(len(stream.svg) + len(stream.audio) for stream in item.streams)
    assert 4 * report.ITEMS_PER_PART * item_bytes < 15_000_000


def test_a_page_says_what_it_shows_of_an_item(long_item: Made, page: Page) -> None:
    text = Page(make_report(long_item.job, long_item.summaries)).text
    assert "The first 10.0 s of 15.0 s, at 8000 Hz in min mode." in text
    assert re.search(r"All of its 3\.\d s, at 8000 Hz in min mode\.", page.text)


# --- the page ---


def test_the_same_output_gives_the_same_bytes_wherever_it_lies(made: Made) -> None:
    text = make_report(made.job, made.summaries)
    again = [PartSummary.from_json(summary.to_json()) for summary in made.summaries]
    assert make_report(made.job, again) == text
    assert not any(place in text for place in (made.job.out, *made.job.roots.values()))


def test_the_page_is_well_formed(page: Page) -> None:
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_needs_no_other_file(page: Page) -> None:
    used = [attributes["src"] or "" for _, attributes in page.elements if "src" in attributes]
    assert {value.partition(";")[0] for value in used} == {"data:audio/flac"}
    links = [
        attributes.get("xlink:href") or attributes.get("href") or ""
        for attributes in page.all("use", "image")
    ]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert {attributes["href"] for attributes in page.all("a")} <= {"run.json", "rejects.csv"}
    assert page.all("link", "script", "iframe", "object") == []


def test_everything_is_named_for_those_who_cannot_see_it(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    labels = [attributes["aria-label"] for attributes in page.all("svg", "audio")]
    assert all(labels)
    assert len(labels) == len(set(labels))
    assert len(page.all("audio")) == (8 + 2) * 4
    assert all(attributes["role"] == "img" for attributes in page.all("svg"))
    assert len(page.all("table")) == len(page.all("caption")) == 3


def test_the_page_follows_the_readers_light_and_screen(made: Made) -> None:
    text = make_report(made.job, made.summaries)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text


def test_text_from_outside_cannot_become_markup(made: Made) -> None:
    attack = '<script>alert("1")</script>'
    part = Part("librimix", "Libri2Mix", attack)
    statistics = PartStatistics(histograms={"gain_db s1": Histogram("dB", 1.0, {0: 1})})
    reject = Reject(attack, attack, attack, attack, attack)
    page = Page(without_items(made, summary_of(part=part, rejects=[reject], statistics=statistics)))
    assert page.problems == []
    assert page.all("script") == []
    assert page.text.count(attack) >= 6


def test_importing_the_report_is_cheap(repository: Path) -> None:
    heavy = "{'matplotlib', 'jinja2', 'PIL', 'apache_beam'}"
    script = f"import sys, transforms.report; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
