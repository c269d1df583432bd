"""One item's story: everything that is known of it, in words."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import trees
from transforms.errors import UsageError
from transforms.plan import LevelKind, Mixture
from transforms.record import recorded_job
from transforms.story import Story, find_item, near_matches, tell


def render(folder: Path, recipe: str, *flags: str, without: int | None = None) -> trees.Corpus:
    """Renders a corpus into ``out`` beside it, quietly, with some rejects allowed."""
    corpus = trees.make_corpus(folder / "corpus", recipe=recipe)
    if without is not None:
        corpus.utterance(without).unlink()
    assert trees.run(corpus, folder / "out", "--shard-size", "2", "--max-rejects", "2", *flags) == 0
    return corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[trees.Corpus, Path]]:
    """Returns ``made(recipe)``: a corpus and its output; the third utterance was missing."""
    outputs: dict[str, tuple[trees.Corpus, Path]] = {}

    def make(recipe: str) -> tuple[trees.Corpus, Path]:
        if recipe not in outputs:
            folder = tmp_path_factory.mktemp(recipe)
            outputs[recipe] = render(folder, recipe, without=2), folder / "out"
        return outputs[recipe]

    return make


def story(out: Path, item_id: str, **moved: str) -> Story:
    (found,) = find_item(recorded_job(str(out), moved), item_id)
    return found


@pytest.mark.parametrize("recipe", list(trees.KINDS))
def test_a_written_item(made: Callable[[str], tuple[trees.Corpus, Path]], recipe: str) -> None:
    corpus, out = made(recipe)
    mixture = corpus.mixtures[4]
    found = story(out, mixture.id)
    assert (found.row, found.mixture, found.reject) == (4, mixture, None)
    text = tell(found)
    assert text.startswith(f"{mixture.id}: written; ")
    assert f"plan row 5, in _mixtape/plan/{corpus.part.name}.parquet" in text
    assert found.place is not None
    for source in mixture.sources:
        assert f"{source.role}  {source.name}\n    content  " in text
    for record in found.place.item.variants:
        for stream, crc in record.crc32c.items():
            path = found.job.rules.wav_path(corpus.part, record.variant, stream, mixture.id)
            assert re.search(rf"^  {stream} +CRC-32C {crc:08x}  the same .*{re.escape(path)}$", text, re.M)
            assert (out / path).is_file()
    for path in set(re.findall(r"(?:members .* of|record 0 of|ledger |row 5, in) *(\S+)$", text, re.M)):
        assert (out / path).is_file()
    assert "NOT THE SAME" not in text


def test_what_is_told_of_sources(made: Callable[[str], tuple[trees.Corpus, Path]]) -> None:
    _, out = made("mixtures")
    text = tell(story(out, "train-0000003"))
    for line in (
        "s1  speech:103/said.flac",
        "    speaker  103",
        "    level    -25 dB (rms)",
        "    taken    all samples from sample 0 on, played 1.1 times as fast, placed at sample 9,000",
        "    level    3 dB below s1 (rms)",
        "    room     rir:hall/1.wav",
        "    level    10 dB below speech (rms)",
        "    taken    as many samples as the mixture has from sample 0 on, placed at sample 0",
    ):
        assert line in text.splitlines(), line
    assert re.search(r"^  s2 .* the same  gain \S+ \(\S+ dB\)  from 0\.562 s  ", text, re.M)
    assert re.search(r"^  SNR in mix_both: s1 \S+ dB, s2 \S+ dB, noise \S+ dB$", text, re.M)


@pytest.mark.parametrize(
    ("kind", "told"), [("target", "-25.5 LUFS"), ("snr", "-25.5 dB below speech (LUFS)")]
)
def test_loudness_is_told_in_its_unit(
    made: Callable[[str], tuple[trees.Corpus, Path]], kind: LevelKind, told: str
) -> None:
    _, out = made("mixtures")
    found = story(out, "train-0000003")
    assert found.mixture is not None
    against = "speech" if kind == "snr" else ""
    source = dataclasses.replace(
        found.mixture.sources[0], level_kind=kind, level=-25.5, measure="lufs", against=against
    )
    mixture = dataclasses.replace(found.mixture, sources=(source,))
    lines = tell(dataclasses.replace(found, mixture=mixture, place=None)).splitlines()
    assert f"    level    {told}" in lines


@pytest.mark.parametrize("recipe", ["wsj0mix", "mixtures"])
def test_what_the_peak_rule_put_on_an_item_is_told(
    made: Callable[[str], tuple[trees.Corpus, Path]], recipe: str
) -> None:
    corpus, out = made(recipe)
    found = story(out, corpus.mixtures[4].id)
    assert found.place is not None
    lines = tell(found).splitlines()
    scales = [record.scale for record in found.place.item.variants]
    told = [line for line in lines if line.startswith("  clip scale: ")]
    assert told == [
        f"  clip scale: {scale:g} ({20 * math.log10(scale):+.2f} dB), in all gains" for scale in scales
    ]
    assert recipe == "mixtures" or all(scale < 1 for scale in scales)


def test_recipes_that_never_scale_tell_of_no_scale(
    made: Callable[[str], tuple[trees.Corpus, Path]],
) -> None:
    corpus, out = made("librimix")
    assert "clip scale" not in tell(story(out, corpus.mixtures[4].id))


def test_levels_of_the_published_recipes(made: Callable[[str], tuple[trees.Corpus, Path]]) -> None:
    _, out = made("librimix")
    text = tell(story(out, "m0000"))
    assert "    level    gain 0.5 (-6.02 dB)" in text
    assert "    taken    as many samples as the mixture has from sample 0 on, channel 0, placed at" in text
    corpus, out = made("wsj0mix")
    text = tell(story(out, corpus.mixtures[0].id))
    assert "    level    1.5 dB active level, of recordings with active power 0.01" in text


def test_a_rejected_item(made: Callable[[str], tuple[trees.Corpus, Path]]) -> None:
    _, out = made("librimix")
    found = story(out, "m0001")
    assert (found.place, found.row) == (None, 1)
    lines = tell(found).splitlines()
    assert lines[:5] == [
        "m0001: rejected; LibriMix, part Libri2Mix-train-100",
        "  source  librispeech:train-clean-100/102/1/102-1-0000.flac",
        "  reason  no such file or folder; check the path (while: read)",
        "  remedy  restore the file or plan without it",
        "",
    ]
    assert "plan row 2, in _mixtape/plan/Libri2Mix-train-100.parquet" in lines


def test_an_item_that_the_plan_itself_rejects(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", recipe="wsj0mix")
    bad = corpus.plan.read_text().splitlines()[0].replace("100o0300", "999o0300")
    corpus.plan.write_text(corpus.plan.read_text() + bad + "\n")
    assert trees.run(corpus, tmp_path / "out", "--max-rejects", "1") == 0
    rejects = (tmp_path / "out/_mixtape/rejects.csv").read_text().splitlines()
    found = story(tmp_path / "out", rejects[1].split(",")[0])
    assert (found.mixture, found.place) == (None, None)
    assert tell(found).startswith(f"{rejects[1].split(',')[0]}: rejected; wsj0-mix, part 2speakers-tr\n")


def test_sources_that_have_changed(tmp_path: Path) -> None:
    corpus = render(tmp_path, "librimix", "--rates", "8000", "--modes", "min")
    trees.write_noise(corpus.utterance(0), 700, seed=99)
    told = [
        line.split()[0] for line in tell(story(tmp_path / "out", "m0000")).splitlines() if "NOT THE" in line
    ]
    assert told == ["s1", "mix_clean", "mix_both", "mix_single"]


def test_sources_that_are_gone(tmp_path: Path) -> None:
    corpus = render(tmp_path, "librimix")
    corpus.utterance(0).unlink()
    text = tell(story(tmp_path / "out", "m0000"))
    wanted = "gains and starts are not known, since the sources cannot be read now: librispeech:train-clean"
    assert wanted in text
    assert "the same" not in text
    assert re.search(r"^  s1 +CRC-32C [0-9a-f]{8}  Libri2Mix/wav8k/min/train-100/s1/m0000.wav$", text, re.M)


def test_a_root_that_no_run_recorded(made: Callable[[str], tuple[trees.Corpus, Path]]) -> None:
    _, out = made("librimix")
    found = story(out, "m0000")
    job = dataclasses.replace(found.job, roots={"librispeech": found.job.roots["librispeech"]})
    assert "now: say where wham is, with --root NAME=URL" in tell(dataclasses.replace(found, job=job))


def test_an_item_of_two_parts(tmp_path: Path) -> None:
    corpus = render(tmp_path, "librimix")
    other = corpus.plan.with_name("libri2mix_dev-clean.csv")
    corpus.plan.rename(other)
    flags = [word if word != str(corpus.plan) else str(other) for word in corpus.flags(tmp_path / "out")]
    from pipelines import cli

    assert cli.main([*flags, "--quiet", "--workers", "1"]) == 0
    found = find_item(recorded_job(str(tmp_path / "out"), {}), "m0002")
    assert [one.part.subset for one in found] == ["dev", "train-100"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("m00O3", "did you mean m0003?"),
        ("m0001.wav", "did you mean m0001?"),
        ("something else", "no id looks like it"),
        ("", "no id looks like it"),
    ],
)
def test_an_unknown_item(made: Callable[[str], tuple[trees.Corpus, Path]], wanted: str, told: str) -> None:
    _, out = made("librimix")
    with pytest.raises(UsageError) as caught:
        find_item(recorded_job(str(out), {}), wanted)
    assert caught.value.problems == (f"{out}: has no item {wanted}; {told}",)


def test_a_shard_without_ledger(tmp_path: Path) -> None:
    render(tmp_path, "librimix")
    (tmp_path / "out/_mixtape/ledger/shard-Libri2Mix-train-100-000001.json").unlink()
    with pytest.raises(
        UsageError, match="train-100-000001 has no readable ledger; run the same command again"
    ):
        find_item(recorded_job(str(tmp_path / "out"), {}), "m0002")


IDS = [f"1034-121119-{number:04d}_19-198-{number * 7 % 40:04d}" for number in range(100)]


@given(place=st.integers(0, 99), at=st.integers(0, 25), letter=st.sampled_from("0x_"))
def test_a_slip_is_found_among_many(place: int, at: int, letter: str) -> None:
    slip = IDS[place][:at] + letter + IDS[place][at + 1 :]
    near = near_matches(slip, IDS)
    assert len(near) <= 3
    assert near
    assert IDS[place] in near or slip in IDS or sum(a != b for a, b in zip(near[0], slip, strict=True)) <= 1


def test_a_mixture_of_no_sources_has_a_headline(made: Callable[[str], tuple[trees.Corpus, Path]]) -> None:
    _, out = made("librimix")
    found = dataclasses.replace(story(out, "m0000"), place=None, mixture=Mixture("m0000", ()))
    assert tell(found).splitlines()[0].startswith("m0000: rejected; ")
