import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.corpora.wsj0mix import list_path, list_text, read_plan, speaker_of
from transforms.errors import UsageError
from transforms.plan import LONGEST_ID, Mixture
from transforms.planning.wsj0mix import (
    FOLDERS,
    PUBLISHED_COUNTS,
    list_corpus,
    option_problems,
    plan_lists,
    split_conditions,
)

GOLDEN_IDS_2 = ["73xo0002_0.21368_75xo0003_-0.21368", "70xo0002_1.1398_71xo0002_-1.1398"]
GOLDEN_IDS_5 = ["74xo0001_0.48240898_76xo0000_1.693645_75xo0000_-1.693645_77xo0003_-0.48240898_72xo0004_0"]


def utterances(folder: str, sizes: Sequence[int]) -> list[str]:
    """Paths of speakers with so many utterances each."""
    return [
        f"{folder}/{10 * len(folder) + s}x/{10 * len(folder) + s}xo{n:04d}.wav"
        for s, size in enumerate(sizes)
        for n in range(size)
    ]


def levels_of(paths: Sequence[str]) -> dict[str, float]:
    return {Path(path).stem: 0.001 * (n + 1) for n, path in enumerate(paths)}


def plan(
    paths: Sequence[str], count: int, *, speakers: int = 2, seed: int = 1, condition: str = "tr"
) -> list[Mixture]:
    lists = plan_lists(
        {condition: paths}, levels_of(sorted(paths)), speakers=speakers, counts={condition: count}, seed=seed
    )
    assert list(lists) == [condition]
    return lists[condition]


def used(mixture: Mixture) -> frozenset[str]:
    return frozenset(source.path for source in mixture.sources)


def levels_db(mixture: Mixture) -> list[float]:
    return [source.level for source in mixture.sources]


def problems_of(
    paths: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    *,
    speakers: int = 2,
    levels: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    known = levels_of([path for group in paths.values() for path in group]) if levels is None else levels
    with pytest.raises(UsageError) as caught:
        plan_lists(paths, known, speakers=speakers, counts=counts, seed=1)
    return caught.value.problems


CORPUS = utterances("si_tr_s", [5] * 8)


# What is drawn.


@given(
    sizes=st.lists(st.integers(1, 4), min_size=3, max_size=6),
    speakers=st.integers(2, 3),
    seed=st.integers(0, 2**64),
)
@settings(max_examples=60)
def test_all_sets_of_different_speakers_are_drawn_once(sizes: list[int], speakers: int, seed: int) -> None:
    paths = utterances("si_tr_s", sizes)
    possible = {
        frozenset(group)
        for group in itertools.combinations(paths, speakers)
        if len({speaker_of(path) for path in group}) == speakers
    }
    drawn = plan(paths, len(possible), speakers=speakers, seed=seed)
    assert {used(mixture) for mixture in drawn} == possible
    assert len({mixture.id for mixture in drawn}) == len(drawn) == len(possible)


def test_all_sets_are_equally_probable_whoever_speaks() -> None:
    paths = utterances("si_tr_s", [1, 1, 10])
    firsts = Counter(used(plan(paths, 1, seed=seed)[0]) for seed in range(4200))
    assert len(firsts) == 21
    # 200 expected of each, with a standard deviation of 13.8: five of them either way.
    assert min(firsts.values()) > 131
    assert max(firsts.values()) < 269


@pytest.mark.parametrize("speakers", [2, 3, 4, 5])
def test_mixtures_are_of_different_speakers_in_any_order(speakers: int) -> None:
    mixtures = plan(CORPUS, 300, speakers=speakers)
    for mixture in mixtures:
        assert [source.role for source in mixture.sources] == [f"s{n}" for n in range(1, speakers + 1)]
        assert len({source.speaker for source in mixture.sources}) == speakers
    firsts = Counter(mixture.sources[0].speaker for mixture in mixtures)
    assert len(firsts) == 8
    assert max(firsts.values()) < 100


@pytest.mark.parametrize("speakers", [2, 3, 4, 5])
def test_snrs_have_the_published_pattern(speakers: int) -> None:
    upper = []
    for mixture in plan(CORPUS, 400, speakers=speakers):
        snrs_db = levels_db(mixture)
        half = speakers // 2
        upper += snrs_db[:half]
        assert snrs_db[half : 2 * half] == [-snr for snr in reversed(snrs_db[:half])]
        assert snrs_db[2 * half :] == [0.0] * (speakers % 2)
        assert all(math.copysign(1, snr) == 1 for snr in snrs_db[2 * half :])
    assert all(0 <= snr <= 2.5 for snr in upper)
    assert len(set(upper)) > 0.98 * len(upper)


@pytest.mark.parametrize("speakers", [2, 5])
def test_snrs_are_uniform(speakers: int) -> None:
    drawn = sorted(
        abs(snr)
        for mixture in plan(utterances("si_tr_s", [20] * 8), 2000, speakers=speakers)
        for snr in levels_db(mixture)[: speakers // 2]
    )
    # Kolmogorov-Smirnov: a true uniform exceeds 1.95 / sqrt(n) once in a thousand.
    distance = max(abs((place + 0.5) / len(drawn) - snr / 2.5) for place, snr in enumerate(drawn))
    assert distance < 1.95 / math.sqrt(len(drawn))


def test_two_snrs_of_a_mixture_are_independent() -> None:
    pairs = [levels_db(mixture)[:2] for mixture in plan(CORPUS, 1000, speakers=4)]
    above = Counter((first > 1.25, second > 1.25) for first, second in pairs)
    assert all(180 < count < 320 for count in above.values())
    assert len(above) == 4


@pytest.mark.parametrize(("speakers", "digits"), [(2, 5), (3, 5), (4, 17), (5, 17)])
def test_snrs_have_the_published_digits(speakers: int, digits: int) -> None:
    snrs = [levels_db(mixture)[0] for mixture in plan(CORPUS, 50, speakers=speakers)]
    assert [float(f"{snr:.{digits}g}") for snr in snrs] == snrs
    longest = max(len(f"{snr!r}".replace(".", "").lstrip("0")) for snr in snrs)
    assert longest == 5 if digits == 5 else longest > 14


# What it depends on.


@pytest.mark.parametrize("speakers", [2, 3, 4, 5])
def test_a_short_list_is_the_beginning_of_a_longer_one(speakers: int) -> None:
    longer = plan(CORPUS, 200, speakers=speakers)
    assert plan(CORPUS, 50, speakers=speakers) == longer[:50]
    assert plan(CORPUS, 1, speakers=speakers) == longer[:1]


def test_sets_that_are_drawn_again_leave_the_beginning_alone() -> None:
    paths = utterances("si_tr_s", [2, 2, 2])
    longest = plan(paths, 12)
    assert all(plan(paths, count) == longest[:count] for count in range(1, 12))


def test_the_order_of_the_listing_is_of_no_account() -> None:
    assert plan(list(reversed(CORPUS)), 100) == plan(CORPUS, 100)


@pytest.mark.parametrize("change", ["seed", "condition", "speakers"])
def test_draws_depend_on_seed_condition_and_speakers(change: str) -> None:
    usual = plan(CORPUS, 40)
    other = {
        "seed": lambda: plan(CORPUS, 40, seed=2),
        "condition": lambda: plan(CORPUS, 40, condition="cv"),
        "speakers": lambda: plan(CORPUS, 40, speakers=3),
    }[change]()
    assert not {levels_db(mixture)[0] for mixture in usual} & {levels_db(mixture)[0] for mixture in other}
    assert sum(used(first) <= used(second) for first, second in zip(usual, other, strict=True)) < 5


def test_draws_stay_as_they_are_for_ever() -> None:
    assert [mixture.id for mixture in plan(CORPUS, 2)] == GOLDEN_IDS_2
    assert [mixture.id for mixture in plan(CORPUS, 1, speakers=5)] == GOLDEN_IDS_5


def test_conditions_do_not_depend_on_one_another() -> None:
    paths = {"tr": CORPUS, "tt": utterances("si_et_05", [4] * 5)}
    levels = levels_of([*paths["tr"], *paths["tt"]])
    both = plan_lists(paths, levels, speakers=2, counts={"tt": 7, "cv": 0, "tr": 9}, seed=3)
    assert [(condition, len(mixtures)) for condition, mixtures in both.items()] == [("tr", 9), ("tt", 7)]
    assert plan_lists(paths, levels, speakers=2, counts={"tt": 7}, seed=3) == {"tt": both["tt"]}


@pytest.mark.parametrize("speakers", [2, 3, 4, 5])
def test_written_lists_read_back_as_planned(speakers: int, tmp_path: Path) -> None:
    mixtures = plan(CORPUS, 100, speakers=speakers, condition="cv")
    path = tmp_path / list_path(speakers, "cv")
    path.write_text(list_text(mixtures))
    found = read_plan(str(path), levels_of(sorted(CORPUS)))
    assert (found.mixtures, found.rejects) == (tuple(mixtures), ())
    assert len(set(path.read_text().split("\n")[:-1])) == 100


def test_powers_are_those_of_the_table() -> None:
    levels = levels_of(sorted(CORPUS))
    for mixture in plan(CORPUS, 20):
        assert [source.active_power for source in mixture.sources] == [
            levels[Path(source.path).stem] for source in mixture.sources
        ]


@pytest.mark.parametrize("level", [None, 0.0, -1.0, float("nan")])
def test_utterances_without_a_level_are_not_used(level: float | None) -> None:
    levels: dict[str, float] = levels_of(CORPUS)
    left_out = CORPUS[0]
    levels.pop(Path(left_out).stem)
    if level is not None:
        levels[Path(left_out).stem] = level
    lists = plan_lists({"tr": CORPUS}, levels, speakers=2, counts={"tr": 665}, seed=1)
    assert not any(left_out in used(mixture) for mixture in lists["tr"])
    assert problems_of({"tr": CORPUS}, {"tr": 666}, levels=levels)


def test_lists_of_the_published_length_can_be_had() -> None:
    paths = {condition: utterances(names[-1], [100] * 10) for condition, names in FOLDERS.items()}
    levels = levels_of(sorted({path for group in paths.values() for path in group}))
    lists = plan_lists(paths, levels, speakers=2, counts=PUBLISHED_COUNTS, seed=0)
    assert {condition: len({m.id for m in mixtures}) for condition, mixtures in lists.items()} == {
        "tr": 20000,
        "cv": 5000,
        "tt": 3000,
    }


# What is refused.


def test_too_few_speakers_are_refused_with_the_numbers() -> None:
    paths = {"tr": utterances("si_tr_s", [3, 2]), "tt": utterances("si_et_05", [1])}
    levels = levels_of(paths["tr"])
    found = problems_of(paths, {"tr": 10, "tt": 1}, speakers=3, levels=levels)
    assert found == (
        "condition tr: 3 different speakers are wanted per mixture, and there are 2 speakers with 5 "
        "utterances that have an activity level (of 5 below si_tr_s that are for tr); ask for fewer "
        "speakers, or for no mixtures of tr",
        "condition tt: 3 different speakers are wanted per mixture, and there are 0 speakers with 0 "
        "utterances that have an activity level (of 1 below si_dt_05 and si_et_05 that are for tt); ask for "
        "fewer speakers, or for no mixtures of tt",
    )


def test_too_many_mixtures_are_refused_with_the_numbers() -> None:
    paths = utterances("si_tr_s", [3, 2, 1])
    assert len(plan(paths, 11)) == 11
    assert problems_of({"cv": paths}, {"cv": 12}) == (
        "condition cv: 12 mixtures are wanted, at most 11 different ones are possible with 3 speakers with 6 "
        "utterances that have an activity level (of 6 below si_tr_s that are for cv); ask for fewer",
    )


def test_a_condition_that_is_not_there_is_refused() -> None:
    (problem,) = problems_of({}, {"tt": 1})
    assert problem.startswith("condition tt: 2 different speakers are wanted per mixture, and there are 0")


@pytest.mark.parametrize(
    ("speakers", "counts", "wanted"),
    [
        (2, PUBLISHED_COUNTS, []),
        (5, {"tr": 0, "cv": 1}, []),
        (1, {"tr": 1}, ["--speakers 1: wanted 2 to 5"]),
        (6, {"tr": 1}, ["--speakers 6: wanted 2 to 5"]),
        (2, {"tr": 1, "cv": -1}, ["condition cv: -1 mixtures; wanted 0 or more"]),
        (2, {"train": 1}, ["condition 'train' is not known; known: tr cv tt"]),
        (2, {"tr": 0}, ["no mixtures are wanted of any condition; ask for some"]),
        (0, {}, ["--speakers 0: wanted 2 to 5", "no mixtures are wanted of any condition; ask for some"]),
    ],
)
def test_bad_numbers_are_refused(speakers: int, counts: dict[str, int], wanted: list[str]) -> None:
    assert list(option_problems(speakers, counts)) == wanted
    if wanted:
        assert problems_of({"tr": CORPUS}, counts, speakers=speakers) == tuple(wanted)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("si_tr_s/a b/x.wav", "'si_tr_s/a b/x.wav': a path with blanks cannot stand in a list; rename it"),
        ("si_tr_s/a/x\ty.wav", "'si_tr_s/a/x\\ty.wav': a path with blanks cannot stand in a list; rename it"),
        ("si_tr_s/a/(x).wav", "'si_tr_s/a/(x).wav': the name '(x)' may hold letters, digits and"),
        (
            "si_tr_s/a/70xo0000.wav",
            "'si_tr_s/a/70xo0000.wav' and 'si_tr_s/70x/70xo0000.wav' have one name, so their levels",
        ),
    ],
)
def test_names_that_cannot_stand_in_a_list_are_refused(path: str, problem: str) -> None:
    paths = [*CORPUS, path]
    (found,) = problems_of({"tr": paths}, {"tr": 1}, levels={Path(name).stem: 1.0 for name in paths})
    assert found.startswith(problem)
    only_tr = plan_lists(
        {"tr": CORPUS, "cv": [path]}, levels_of(CORPUS), speakers=2, counts={"tr": 1}, seed=1
    )
    assert only_tr == {"tr": plan(CORPUS, 1)}


def test_ids_that_are_too_long_are_refused() -> None:
    paths = [f"si_tr_s/{name}/{name * 100}.wav" for name in "ab"]
    (problem,) = problems_of({"tr": paths}, {"tr": 1})
    assert problem.endswith(f"is longer than {LONGEST_ID} characters; rename the utterances")


# Listing and splitting a corpus.


@pytest.fixture
def wsj0(tmp_path: Path) -> Path:
    root = tmp_path / "wsj0"
    names = (
        "si_tr_s/01t/01to0302.wav",
        "si_tr_s/01t/01to0301.wv1",
        "si_tr_s/01t/01to0301.wv2",
        "si_tr_s/02t/02to0301.WV1",
        "si_tr_s/02t/02to0302.wv1",
        "si_tr_s/02t/02to0302.flac",
        "si_tr_s/02t/02to0303.sph",
        "si_tr_s/02t/02to0303.dot",
        "si_et_05/440/440o0301.wav",
        "si_tr_l/400/400o0301.wav",
        "readme.txt",
    )
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_corpus_is_listed_by_folder_with_each_recording_once(wsj0: Path) -> None:
    assert list_corpus(str(wsj0)) == {
        "si_tr_s": [
            "si_tr_s/01t/01to0301.wv1",
            "si_tr_s/01t/01to0302.wav",
            "si_tr_s/02t/02to0301.WV1",
            "si_tr_s/02t/02to0302.flac",
            "si_tr_s/02t/02to0303.sph",
        ],
        "si_et_05": ["si_et_05/440/440o0301.wav"],
    }


def test_another_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-clean-100").mkdir()
    with pytest.raises(UsageError) as caught:
        list_corpus(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: is not laid out like WSJ0: looked for a folder si_tr_s or si_et_05 or si_dt_05, found "
        "train-clean-100; give the folder wsj0, or the one that it is in"
    )


@given(sizes=st.lists(st.integers(1, 23), max_size=6), seed=st.integers(0, 99))
def test_training_and_validation_share_speakers_and_no_utterance(sizes: list[int], seed: int) -> None:
    training = utterances("si_tr_s", sizes)
    split = split_conditions({"si_tr_s": training}, seed=seed)
    assert sorted(split["tr"] + split["cv"]) == sorted(training)
    held_out = Counter(speaker_of(path) for path in split["cv"])
    all_of = Counter(speaker_of(path) for path in training)
    for speaker, size in all_of.items():
        assert held_out[speaker] == (max(1, size // 5) if size > 1 else 0)


def test_the_test_set_comes_from_both_of_its_folders() -> None:
    folders = {"si_et_05": ["si_et_05/b/b.wav"], "si_dt_05": ["si_dt_05/a/a.wav"]}
    assert split_conditions(folders, seed=1) == {
        "tr": [],
        "cv": [],
        "tt": ["si_dt_05/a/a.wav", "si_et_05/b/b.wav"],
    }


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    usual = split_conditions({"si_tr_s": CORPUS}, seed=1)
    assert split_conditions({"si_tr_s": CORPUS[::-1]}, seed=1) == usual
    assert split_conditions({"si_tr_s": CORPUS}, seed=2) != usual


def test_a_speaker_more_does_not_change_the_split_of_the_others() -> None:
    usual = split_conditions({"si_tr_s": CORPUS}, seed=1)
    more = split_conditions({"si_tr_s": [*CORPUS, *utterances("si_tr_s_more", [9])]}, seed=1)
    assert set(usual["cv"]) <= set(more["cv"])
    assert set(usual["tr"]) <= set(more["tr"])
