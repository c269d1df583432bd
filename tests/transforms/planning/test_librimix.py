import csv
import gzip
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.errors import UsageError
from transforms.listing import NoiseClip, Utterance, read_noises, read_utterances
from transforms.plan import WHOLE, Source
from transforms.planning import librimix
from transforms.planning.librimix import (
    PlannedMixture,
    PlannedSubset,
    draw_targets,
    mixture_id,
    pair,
    plan_subsets,
    remove_duplicates,
    to_mixture,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "librimix"
TRAINING = ("train-clean-100", "train-clean-360")

Groups = list[tuple[int, ...]]


def utterance(number: int, *, reader: int, samples: int = 60000, subset: str = "dev-clean") -> Utterance:
    return Utterance(str(reader), "F", subset, samples, f"{subset}/{reader}/1/{reader}-1-{number:04d}.flac")


def utterances(count: int, *, readers: int, subset: str = "dev-clean") -> list[Utterance]:
    return [utterance(n, reader=n % readers, samples=50000 + 100 * n, subset=subset) for n in range(count)]


def noise_clip(number: int, samples: int = 90000, *, augmented: bool = False) -> NoiseClip:
    name = f"{number:03d}{'sp08' if augmented else ''}.wav"
    return NoiseClip(name, "cv", samples, augmented, f"cv/{name}")


def noise_clips(count: int, samples: int = 90000) -> list[NoiseClip]:
    return [noise_clip(number, samples + number) for number in range(count)]


# The published planner, written down as plainly as its description reads.


def slow_groups(readers: Sequence[str], size: int, stream: random.Random) -> Groups:
    free = list(range(len(readers)))
    groups: Groups = []
    fails = 0
    while len(free) >= size and fails < 200:
        group = stream.sample(free, size)
        if len({readers[row] for row in group}) != size:
            fails += 1
            continue
        groups.append(tuple(group))
        for row in group:
            free.remove(row)
        fails = 0
    return groups


def slow_noises(
    groups: Groups, speech: Sequence[Utterance], noises: Sequence[NoiseClip], stream: random.Random
) -> list[int]:
    """Changes ``groups`` in place, as published."""
    rows = [row for row, noise in enumerate(noises) if not noise.augmented]
    if len(groups) > len(rows):
        rows = list(range(len(noises)))
    chosen = []
    for group in list(groups):
        need = max(speech[row].length_samples for row in group)
        candidates = [row for row in rows if noises[row].length_samples >= need]
        if candidates:
            row = stream.sample(candidates, 1)[0]
        elif "train" in speech[0].subset:
            row = rows[-1]
        else:
            groups.remove(group)
            continue
        rows.remove(row)
        chosen.append(row)
    return chosen


def slow_duplicates(groups: Groups, noises: list[int]) -> None:
    i = 0
    while i < len(groups) and i < len(noises):
        remembered = sorted(groups[i])
        j = 0
        while j < len(groups) and j < len(noises):
            if i != j and sorted(groups[j]) == remembered:
                group, noise = groups[j], noises[j]
                groups.remove(group)
                noises.remove(noise)
            j += 1
        i += 1


def slow_pair(
    speech: Sequence[Utterance], noises: Sequence[NoiseClip], size: int, wanted: int, stream: random.Random
) -> list[tuple[tuple[int, ...], int]]:
    readers = [row.speaker for row in speech]
    if "train" in speech[0].subset:
        groups = slow_groups(readers, size, stream)
        return list(zip(groups, slow_noises(groups, speech, noises, stream), strict=True))
    groups, chosen = [], []
    while len(groups) < wanted:
        groups += slow_groups(readers, size, stream)
        chosen += slow_noises(groups, speech, noises, stream)
        slow_duplicates(groups, chosen)
    return list(zip(groups[:wanted], chosen[:wanted], strict=True))


# Properties: the fast planner against the plain one.


@settings(max_examples=300)
@given(data=st.data(), size=st.integers(1, 3), rows=st.integers(1, 4))
def test_duplicates_go_as_in_the_plain_loops(data: st.DataObject, size: int, rows: int) -> None:
    group = st.permutations(range(max(rows, size))).map(lambda order: tuple(order[:size]))
    groups = data.draw(st.lists(group, max_size=25))
    extra = data.draw(st.integers(0, 10))
    length = len(groups) + extra
    noises = data.draw(st.lists(st.integers(0, 5), min_size=length, max_size=length))
    wanted_groups, wanted_noises = list(groups), list(noises)
    slow_duplicates(wanted_groups, wanted_noises)
    remove_duplicates(groups, noises)
    assert (groups, noises) == (wanted_groups, wanted_noises)


def test_duplicate_removal_keeps_the_published_quirks() -> None:
    groups: Groups = [(0, 1), (2, 3), (1, 0), (0, 1)]
    noises = [7, 8, 7, 9]
    remove_duplicates(groups, noises)
    # Place 0: (1, 0) goes, and with it the first noise 7, not its own. Its successor is not looked at.
    # Place 2: that successor (0, 1) takes away the first (0, 1) with noise 8, moves to place 1, and
    # takes away itself with noise 9.
    assert groups == [(2, 3)]
    assert noises == [7]


@settings(max_examples=150)
@given(
    readers=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    size=st.integers(1, 3),
    seed=st.integers(0, 1000),
    shuffled=st.booleans(),
)
@example(readers=[0] * 30, size=2, seed=72, shuffled=False)
@example(readers=list(range(22)), size=2, seed=72, shuffled=False)
def test_training_pairs_equal_the_plain_planner(
    readers: list[int], size: int, seed: int, shuffled: bool
) -> None:
    lengths = random.Random(seed)
    speech = [
        utterance(
            number, reader=reader, samples=lengths.randrange(48000, 99000, 1300), subset="train-clean-100"
        )
        for number, reader in enumerate(readers)
    ]
    clips = [
        noise_clip(number, 48000 + 1300 * number, augmented=number % 3 > 0) for number in range(len(readers))
    ]
    if shuffled:
        lengths.shuffle(clips)
    fast, slow = random.Random(seed), random.Random(seed)
    pairs = pair(speech, clips, speakers=size, dev_test_size=1, stream=fast)
    assert pairs == slow_pair(speech, clips, size, 1, slow)
    assert fast.getstate() == slow.getstate()


@settings(max_examples=100)
@given(
    count=st.integers(8, 30),
    size=st.integers(2, 3),
    wanted=st.integers(1, 20),
    seed=st.integers(0, 1000),
    shuffled=st.booleans(),
)
def test_evaluation_pairs_equal_the_plain_planner(
    count: int, size: int, wanted: int, seed: int, shuffled: bool
) -> None:
    lengths = random.Random(seed)
    speech = [
        utterance(number, reader=number % 6, samples=lengths.randrange(48000, 80000))
        for number in range(count)
    ]
    # Some noises are too short for some groups, and the long ones run out in late passes.
    clips = [noise_clip(number, 56000 + 1000 * number) for number in range(20)]
    clips += [noise_clip(number, 90000) for number in range(20, 22 + wanted)]
    if shuffled:
        lengths.shuffle(clips)
    fast, slow = random.Random(seed), random.Random(seed)
    pairs = pair(speech, clips, speakers=size, dev_test_size=wanted, stream=fast)
    assert pairs == slow_pair(speech, clips, size, wanted, slow)
    assert fast.getstate() == slow.getstate()


@settings(max_examples=100)
@given(
    groups=st.lists(st.permutations(range(4)).map(lambda order: tuple(order[:2])), max_size=20),
    noises=st.integers(0, 12),
    seed=st.integers(0, 1000),
)
def test_groups_without_a_noise_go_as_in_the_plain_planner(groups: Groups, noises: int, seed: int) -> None:
    # Equal groups in one list are too rare in whole plans to be met there.
    speech = [utterance(number, reader=number, samples=50000 + 10000 * number) for number in range(4)]
    clips = [noise_clip(number, 55000 + 10000 * (number % 4)) for number in range(noises)]
    kept, chosen = librimix._draw_noises(groups, speech, clips, stream=random.Random(seed))
    assert chosen == slow_noises(groups, speech, clips, random.Random(seed))
    assert kept == groups


@pytest.mark.parametrize(("count", "readers", "size"), [(12, 4, 2), (20, 7, 3), (5, 5, 1), (6, 2, 3)])
def test_the_most_that_is_possible_is_what_combinatorics_says(count: int, readers: int, size: int) -> None:
    speech = utterances(count, readers=readers)
    every = [
        group
        for group in itertools.combinations(range(count), size)
        if len({speech[row].speaker for row in group}) == size
    ]
    with pytest.raises(
        UsageError, match=rf"at most {len(every)} are possible: {len(every)} different groups"
    ):
        pair(speech, noise_clips(9999), speakers=size, dev_test_size=9998, stream=random.Random(1))


def test_every_possible_group_is_reached() -> None:
    speech = utterances(8, readers=4)
    stream = random.Random(3)
    pairs = pair(speech, noise_clips(60), speakers=2, dev_test_size=24, stream=stream)
    assert len({frozenset(group) for group, _ in pairs}) == 24


# Golden: published and recorded results.


def rows_of(text: str) -> list[tuple[str, str]]:
    return [(row["mixture_ID"], row["noise_path"]) for row in csv.DictReader(text.splitlines())]


def unzipped(name: str, folder: Path) -> Path:
    data = gzip.decompress((GOLDEN / "listing_only" / f"{name}.csv.gz").read_bytes())
    path = folder / f"{name}.csv"
    path.write_bytes(data)
    return path


def chosen(subset: PlannedSubset) -> list[tuple[str, str]]:
    return [(mixture.id, mixture.noise.path) for mixture in subset.mixtures]


def plan_files(speech: dict[str, Path], noises: dict[str, Path], **options: Any) -> list[PlannedSubset]:
    return plan_subsets(
        {name: read_utterances(str(path)) for name, path in speech.items()},
        {name: read_noises(str(path)) for name, path in noises.items()},
        **options,
    )


@pytest.mark.parametrize("speakers", [2, 3])
def test_training_plans_equal_recorded_ones(speakers: int) -> None:
    speech = {name: GOLDEN / "metadata" / f"{name}.csv" for name in TRAINING}
    noises = {"train": GOLDEN / "metadata" / "train.csv"}
    subsets = plan_files(speech, noises, speakers=speakers, round_to=0)
    assert [subset.listing_name for subset in subsets] == list(TRAINING)
    for subset in subsets:
        name = f"Libri{speakers}Mix/libri{speakers}mix_{subset.listing_name}.csv"
        assert chosen(subset) == rows_of((GOLDEN / "plan" / name).read_text())


def test_evaluation_plan_equals_the_recorded_one_and_so_does_the_stream_after_it(tmp_path: Path) -> None:
    speech = read_utterances(str(unzipped("dev-clean", tmp_path)))
    noises = read_noises(str(unzipped("noise_dev", tmp_path)))
    stream = random.Random(72)
    pairs = pair(speech, noises, speakers=2, dev_test_size=3000, stream=stream)
    found = [(mixture_id([speech[row].path for row in group]), noises[row].path) for group, row in pairs]
    assert found == rows_of(unzipped("expected_libri2mix_dev-clean", tmp_path).read_text())
    assert stream.uniform(0, 1) == 0.2905937218977098


@pytest.mark.golden
@pytest.mark.parametrize("speakers", [2, 3])
def test_training_plans_equal_all_recorded_ones(speakers: int, shared_golden: Path) -> None:
    folder = shared_golden / "librimix" / "listing_only"
    speech = {name: folder / f"{name}.csv" for name in TRAINING}
    for subset in plan_files(speech, {"train": folder / "noise_train.csv"}, speakers=speakers, round_to=0):
        wanted = (folder / f"expected_libri{speakers}mix_{subset.listing_name}.csv").read_text()
        assert chosen(subset) == rows_of(wanted)


@pytest.mark.golden
def test_evaluation_plan_equals_the_full_recorded_one(shared_golden: Path) -> None:
    folder = shared_golden / "librimix" / "listing_only"
    speech, noises = {"dev-clean": folder / "dev-clean.csv"}, {"dev": folder / "noise_dev.csv"}
    (subset,) = plan_files(speech, noises, speakers=2)
    assert chosen(subset) == rows_of((folder / "expected_libri2mix_dev-clean.csv").read_text())


@pytest.mark.golden
def test_test_clean_equals_the_official_plan(shared_golden: Path) -> None:
    folder = shared_golden / "librimix" / "official"
    speech = {"test-clean": folder / "LibriSpeech" / "test-clean.csv"}
    (subset,) = plan_files(speech, {"test": folder / "Wham_noise" / "test.csv"}, speakers=2)
    wanted = rows_of((folder / "Libri2Mix" / "libri2mix_test-clean.csv").read_text())
    assert len(wanted) == 3000
    assert chosen(subset) == wanted


# Details.


def test_targets_are_drawn_per_source_and_twice_for_the_noise() -> None:
    stream, plain = random.Random(9), random.Random(9)
    targets = draw_targets(stream, 2)
    speech = [plain.uniform(-33, -25), plain.uniform(-33, -25)]
    plain.uniform(-33, -25)
    assert targets == (*speech, plain.uniform(-38, -30))
    assert stream.getstate() == plain.getstate()


def test_rounding_comes_after_all_draws() -> None:
    speech = {name: utterances(50, readers=7, subset=name) for name in TRAINING}
    noises = {"train": noise_clips(60)}
    whole = plan_subsets(speech, noises, speakers=2, round_to=0)
    rounded = plan_subsets(speech, noises, speakers=2, round_to=10)
    for long, short in zip(whole, rounded, strict=True):
        assert len(short.mixtures) == len(long.mixtures) // 10 * 10 < len(long.mixtures)
        assert short.mixtures == long.mixtures[: len(short.mixtures)]


@pytest.mark.parametrize("round_to", [0, 1])
def test_no_rounding(round_to: int) -> None:
    speech = {"train-clean-100": utterances(9, readers=3, subset="train-clean-100")}
    (subset,) = plan_subsets(speech, {"train": noise_clips(9)}, speakers=3, round_to=round_to)
    assert len(subset.mixtures) == 3


def test_a_subset_depends_on_the_order_and_on_the_seed() -> None:
    speech = {name: utterances(50, readers=7, subset=name) for name in TRAINING}
    noises = {"train": noise_clips(60)}
    forth = plan_subsets(speech, noises, speakers=2, round_to=0)
    back = plan_subsets(dict(reversed(speech.items())), noises, speakers=2, round_to=0)
    other = plan_subsets(speech, noises, speakers=2, round_to=0, seed=73)
    assert [subset.listing_name for subset in back] == list(reversed(TRAINING))
    assert forth[0] != back[1]
    assert forth[0] != other[0]
    assert forth == plan_subsets(speech, noises, speakers=2, round_to=0)


def test_the_global_generator_is_left_alone() -> None:
    before = random.getstate()
    plan_subsets(
        {"dev-clean": utterances(9, readers=3)}, {"dev": noise_clips(9)}, speakers=2, dev_test_size=5
    )
    assert random.getstate() == before


def test_the_noise_listing_is_the_first_by_name_with_the_same_beginning() -> None:
    speech = {"dev-clean": utterances(9, readers=3)}
    noises = {"test": noise_clips(1), "dev-b": noise_clips(9, 70000), "dev-a": noise_clips(9)}
    (subset,) = plan_subsets(speech, noises, speakers=2, dev_test_size=5, round_to=0)
    assert {mixture.noise for mixture in subset.mixtures} <= set(noises["dev-a"])


def test_augmented_noises_serve_only_when_the_others_do_not_suffice() -> None:
    speech = utterances(8, readers=8, subset="train-clean-100")
    plain = [noise_clip(number) for number in range(4)]
    clips = [*plain, *(noise_clip(number, augmented=True) for number in range(4))]
    few = pair(speech, clips, speakers=2, dev_test_size=1, stream=random.Random(1))
    assert {noise for _, noise in few} == {0, 1, 2, 3}
    many = pair(speech, clips[1:], speakers=2, dev_test_size=1, stream=random.Random(1))
    assert any(clips[1:][noise].augmented for _, noise in many)


def test_a_training_group_longer_than_all_noises_gets_the_last() -> None:
    speech = [utterance(n, reader=n, samples=99000, subset="train-clean-100") for n in range(2)]
    clips = [noise_clip(0, 50000), noise_clip(1, 60000)]
    assert pair(speech, clips, speakers=2, dev_test_size=1, stream=random.Random(1))[0][1] == 1


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["a/26-495-0001.flac"], "26-495-0001"),
        (["x/1034-121119-0005.flac", "y/26-495-0001.flac"], "1034-121119-0005_26-495-0001"),
        (["alfa-1.flac"], "-1"),
        (["1-c.flac", "2.flac"], "1-_2"),
    ],
)
def test_mixture_ids(paths: list[str], wanted: str) -> None:
    assert mixture_id(paths) == wanted


def test_a_planned_mixture_becomes_a_mixture_of_the_plan() -> None:
    first, second = utterance(1, reader=7), utterance(2, reader=8)
    planned = PlannedMixture((first, second), noise_clip(3), (-30.0, -31.0, -35.0))
    mixture = to_mixture(planned, (0.5, 1.5, 0.25))
    assert mixture.id == "7-1-0001_8-1-0002"
    assert mixture.sources == (
        Source("s1", "librispeech", first.path, level=0.5, speaker="7", sex="F"),
        Source("s2", "librispeech", second.path, level=1.5, speaker="8", sex="F"),
        Source("noise", "wham", "cv/003.wav", level=0.25, fit="loop", channel=0),
    )
    assert [source.length_samples for source in mixture.sources] == [WHOLE] * 3
    assert [source.level for source in to_mixture(planned).sources] == [1.0] * 3


def test_gains_must_be_as_many_as_sources() -> None:
    planned = PlannedMixture((utterance(1, reader=7),), noise_clip(3), (-30.0, -35.0))
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        to_mixture(planned, (0.5,))


# Bad input.


def test_all_bad_options_are_named_together() -> None:
    with pytest.raises(UsageError) as caught:
        plan_subsets(
            {"dev-clean": [], "test-clean": utterances(4, readers=2)},
            {"dev": [], "train": noise_clips(1)},
            speakers=0,
            round_to=-1,
            dev_test_size=0,
        )
    assert caught.value.problems == (
        "--speakers 0: wanted 1 or more",
        "--round-to -1: wanted 0 or more",
        "--dev-test-size 0: wanted 1 or more",
        "listing dev-clean: has no rows; list the corpus again",
        "noise listing dev: has no rows; list the noises again",
        "listing test-clean: no noise listing begins with 'test' (found: dev, train); list the noises, "
        "or rename one",
    )


def test_no_noise_listing_at_all() -> None:
    with pytest.raises(UsageError, match=r"begins with 'dev' \(found: none\)"):
        plan_subsets({"dev-clean": utterances(4, readers=2)}, {}, speakers=2)


def test_training_with_too_few_noises() -> None:
    speech = {"train-clean-100": utterances(20, readers=20, subset="train-clean-100")}
    message = "^listing train-clean-100: 10 mixtures need a noise each and the noise listing has 9; augment"
    with pytest.raises(UsageError, match=message):
        plan_subsets(speech, {"train": noise_clips(9)}, speakers=2)


@pytest.mark.parametrize(
    ("readers", "noises", "message"),
    [
        pytest.param(1, noise_clips(50), "at most 0 are possible: 0 different groups", id="one reader"),
        pytest.param(4, noise_clips(9), "at most 9 are possible: 54 .* listing has 9 rows", id="few noises"),
        pytest.param(4, noise_clips(50, 40000), "at most 0 are possible: 0", id="all noises too short"),
        pytest.param(4, noise_clips(50, 50450), "at most 9 are possible: 9", id="most utterances too long"),
    ],
)
def test_more_evaluation_mixtures_than_possible(readers: int, noises: list[NoiseClip], message: str) -> None:
    speech = {"dev-clean": utterances(12, readers=readers)}
    with pytest.raises(UsageError, match=f"^listing dev-clean: 20 mixtures are wanted, {message}"):
        plan_subsets(speech, {"dev": noises}, speakers=2, dev_test_size=20)


def test_passes_without_progress_end() -> None:
    # Enough groups and noises on paper, but one noise only is as long as any utterance.
    speech = utterances(12, readers=4)
    clips = [*noise_clips(50, 40000), noise_clip(51, 99000)]
    message = r"20 mixtures are wanted, and \d+ passes .* no more than 1 with .* lower --dev-test-size to 1,"
    with pytest.raises(UsageError, match=message):
        pair(speech, clips, speakers=2, dev_test_size=20, stream=random.Random(72))


def test_names_that_make_no_good_ids_are_refused() -> None:
    speech = [
        Utterance(reader, "F", "train-clean-100", 50000, f"{reader}/{name}")
        for reader, name in [("1", "alfa-1.flac"), ("2", "2-2.flac")]
    ]
    with pytest.raises(UsageError, match=r"id '-1' may hold letters.*; rename the utterances$"):
        plan_subsets({"train-clean-100": speech}, {"train": noise_clips(2)}, speakers=1, round_to=0)


def test_the_same_id_twice_is_refused() -> None:
    speech = [
        Utterance(str(reader), "F", "train-clean-100", 50000, f"{reader}/1.flac") for reader in range(40)
    ]
    with pytest.raises(UsageError, match="id '1' occurs twice, for utterances of one name") as caught:
        plan_subsets({"train-clean-100": speech}, {"train": noise_clips(40)}, speakers=1, round_to=0)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].startswith("and 19 more")
