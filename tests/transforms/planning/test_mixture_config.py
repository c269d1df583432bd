"""What may be asked of the mixtures planner: texts, precedence, and requests that cannot be."""

import dataclasses
import math
from typing import Any

import pytest

from transforms.errors import UsageError
from transforms.planning.distributions import Choice, Fixed, Normal, Uniform
from transforms.planning.mixture_config import (
    OPTIONS,
    Amounts,
    MixturesConfig,
    config_problems,
    config_texts,
    flag,
    merged,
    option_text,
    read_config,
)

SPLIT = "train:0.8 dev:0.1 test:0.1"


def config(**options: str) -> MixturesConfig:
    return read_config({"count": "10"} | options)


FULL = {
    "corpus": "my-corpus",
    "subsets": SPLIT,
    "hours": "train:8 dev:1 test:1.5",
    "speakers": "choice(1:0.2,2:0.5,3:0.3)",
    "talkers": "any",
    "reuse": "even",
    "max_uses": "3",
    "overlap": "uniform(0,1)",
    "gap_s": "0.25",
    "level_measure": "active",
    "speech_level": "normal(-27,3,-35,-20)",
    "interferer_snr": "triangular(-5,0,5)",
    "snr_measure": "active",
    "noises": "2",
    "noise_level": "uniform(-40,-30)",
    "noise_against": "s1",
    "speed": "uniform(0.9,1.1)",
    "min_utterance_s": "2",
    "max_utterance_s": "12.5",
    "rate_hz": "8000",
    "clip": "reject",
    "seed": "7",
}


def test_every_option_is_a_field_and_the_other_way_round() -> None:
    assert set(OPTIONS) == {field.name for field in dataclasses.fields(MixturesConfig)}


def test_defaults_alone_lack_a_count() -> None:
    assert read_config({}) == MixturesConfig()
    assert config_problems(MixturesConfig()) == ["give one of --count and --hours"]
    assert config_problems(config()) == []


@pytest.mark.parametrize("options", [FULL, {"count": "5"}, {"count": "5", "noise_level": "-30"}])
def test_texts_make_the_same_configuration_again(options: dict[str, str]) -> None:
    first = read_config(options)
    texts = config_texts(first)
    assert config_problems(first) == []
    assert read_config(merged({}, texts)) == first
    assert config_texts(read_config(merged(texts, {}))) == texts


def test_all_options_are_understood() -> None:
    found = read_config(FULL)
    assert found.subsets == Amounts((("train", 0.8), ("dev", 0.1), ("test", 0.1)))
    assert found.speakers == Choice((1, 2, 3), (0.2, 0.5, 0.3))
    assert found.speech_level == Normal(-27, 3, -35, -20)
    assert (found.noise_level, found.noise_snr) == (Uniform(-40, -30), None)
    assert (found.max_utterance_s, found.rate_hz, found.clip, found.seed) == (12.5, 8000, "reject", 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", Fixed(2)),
        ("2 3", Choice((2, 3), (1, 1))),
        ("2:0.6 3:0.4", Choice((2, 3), (0.6, 0.4))),
        ("choice(2:0.6, 3:0.4)", Choice((2, 3), (0.6, 0.4))),
    ],
)
def test_numbers_of_speakers(text: str, expected: Any) -> None:
    assert config(speakers=text).speakers == expected


@pytest.mark.parametrize(("text", "mean", "most"), [("3", 3.0, 3), ("2:3 4:1", 2.5, 4)])
def test_mean_and_most_speakers(text: str, mean: float, most: int) -> None:
    found = config(speakers=text)
    assert (found.mean_speakers, found.most_speakers) == (mean, most)


@pytest.mark.parametrize("text", ["full", "none", "sequential", "0.5", "uniform(0,1)"])
def test_overlaps(text: str) -> None:
    assert str(config(overlap=text).overlap) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (3, "3"),
        (["2:0.6", "3:0.4"], "2:0.6 3:0.4"),
        ({"train": "0.8", "dev": 0.2}, "train:0.8 dev:0.2"),
        (" uniform(0, 1)\n", "uniform(0, 1)"),
    ],
)
def test_values_of_files_and_flags_become_one_text(value: Any, text: str) -> None:
    assert option_text(value) == text


def test_what_is_above_wins_and_what_is_empty_is_not_given() -> None:
    found = merged({"seed": "1", "noises": "2", "clip": ""}, {"seed": 5, "noises": None, "speakers": []})
    assert found == {"seed": "5", "noises": "2"}


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("count", "hours"),
        ("hours", "count"),
        ("noise_snr", "noise_level"),
        ("interferer_level", "interferer_snr"),
    ],
)
def test_what_is_above_displaces_its_rival(below: str, above: str) -> None:
    assert merged({below: "1", "seed": "3"}, {above: "2"}) == {above: "2", "seed": "3"}


def test_a_total_is_shared_out_as_the_speakers_are() -> None:
    found = config(subsets=SPLIT, count="1000")
    assert [found.count_of(name) for name in found.subsets.names] == [800, 100, 100]
    assert [config(subsets="a:1 b:1 c:1", count="10").count_of(name) for name in "abc"] == [3, 3, 3]
    assert math.isinf(found.hours_of("train"))


def test_a_larger_total_gives_no_subset_less() -> None:
    counts = [config(subsets=SPLIT, count=str(total)).count_of("dev") or 0 for total in range(1, 200)]
    assert counts == sorted(counts)


def test_numbers_by_subset_are_taken_as_they_are() -> None:
    found = config(subsets="train:3 dev:1", count="train:7 dev:5")
    assert (found.count_of("train"), found.count_of("dev")) == (7, 5)


def test_hours_are_shared_out_too() -> None:
    found = read_config({"subsets": "train:3 dev:1", "hours": "10"})
    assert (found.hours_of("train"), found.hours_of("dev")) == (7.5, 2.5)
    assert found.count_of("train") is None


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("cuont", "5", r"--cuont: no such option; known: corpus, subsets, count"),
        ("count", "many", r"--count 'many': wanted a number such as 20000"),
        ("count", "train:1 train:2", r"--count 'train:1 train:2': wanted a number"),
        ("subsets", "train:x", r"--subsets 'train:x': wanted shares such as train:0.8"),
        ("speakers", "2:0.6 3", r"--speakers '2:0.6 3': wanted a number such as 2, or weights"),
        ("speakers", "two", r"--speakers 'two' is no distribution"),
        ("talkers", "equal", r"--talkers 'equal': wanted one of different, same, any"),
        ("reuse", "ring", r"--reuse 'ring': wanted one of independent, even"),
        ("max_uses", "-1", r"--max-uses '-1': wanted a whole number of 0 or more"),
        ("overlap", "partly", r"--overlap 'partly' is no distribution"),
        ("gap_s", "uniform(1)", r"--gap-s 'uniform\(1\)' is no distribution"),
        ("noise_snr", "uniform(5,1)", r"--noise-snr uniform\(5,1\): wanted low < high"),
        ("min_utterance_s", "-1", r"--min-utterance-s '-1': wanted seconds of 0 or more"),
        ("max_utterance_s", "nan", r"--max-utterance-s 'nan': wanted seconds of 0 or more"),
        ("clip", "hard", r"--clip 'hard': wanted one of scale, reject"),
        ("seed", "1.5", r"--seed '1.5': wanted a whole number"),
    ],
)
def test_texts_that_cannot_be_read(name: str, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        config(**{name: text})


def test_all_unreadable_texts_are_named_together() -> None:
    with pytest.raises(UsageError) as caught:
        config(clip="hard", seed="x", speed="fast")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"corpus": "a/b"}, "name 'a/b': wanted up to 64 letters"),
        ({"corpus": ".."}, r"name '\.\.': wanted"),
        ({"subsets": "a/b:1"}, "name 'a/b': wanted"),
        ({"subsets": "1"}, "--subsets 1: wanted names with shares above 0"),
        ({"subsets": "train:0"}, "--subsets train:0: wanted names with shares above 0"),
        ({"hours": "5"}, "give one of --count and --hours"),
        ({"count": "0"}, "--count 0: wanted numbers above 0"),
        ({"count": "2.5"}, "--count 2.5: wanted whole numbers"),
        ({"count": "dev:5"}, "--count dev:5: wanted a number for each of the subsets train"),
        ({"speakers": "0"}, "--speakers 0: wanted whole numbers of 1 or more"),
        ({"speakers": "1.5 2"}, r"--speakers choice\(1.5,2\): wanted whole numbers"),
        ({"speakers": "uniform(1,3)"}, r"--speakers uniform\(1,3\): wanted whole numbers"),
        ({"max_uses": "3"}, "--max-uses 3: needs --reuse even; independent mixtures do not look"),
        ({"reuse": "even", "talkers": "same"}, "--reuse even cannot be had with --talkers same"),
        ({"min_utterance_s": "0.3"}, "--min-utterance-s 0.3 at --speed 1 leaves 0.300 s .* LUFS needs 0.4 s"),
        (
            {"min_utterance_s": "0.5", "speed": "uniform(1,2)"},
            r"--min-utterance-s 0.5 at --speed uniform\(1,2\) leaves 0.250 s",
        ),
        (
            {"min_utterance_s": "5", "max_utterance_s": "5"},
            "--min-utterance-s 5 is not below --max-utterance-s 5",
        ),
        (
            {"interferer_level": "-30", "interferer_snr": "0"},
            "--interferer-level and --interferer-snr exclude each other",
        ),
        ({"noise_level": "-30", "noise_snr": "0"}, "give one of --noise-level and --noise-snr"),
        (
            {"overlap": "uniform(0,1.5)"},
            r"--overlap uniform\(0,1.5\): gives values from 0 to 1.5, wanted 0 to 1",
        ),
        ({"overlap": "normal(0.5,0.1)"}, r"--overlap normal\(0.5,0.1\): gives values from -inf to inf"),
        ({"gap_s": "-1"}, "--gap-s -1: gives values from -1 to -1, wanted 0 to 3600"),
        ({"speed": "0.1"}, "--speed 0.1: gives values from 0.1 to 0.1, wanted 0.25 to 4"),
        (
            {"speed": "normal(1,0.1)"},
            r"--speed normal\(1,0.1\): gives values from -inf to inf, wanted 0.25 to 4",
        ),
        ({"speech_level": "27"}, "--speech-level 27: gives values from 27 to 27, wanted -inf to 0"),
        ({"noise_level": "uniform(-9,1)"}, r"--noise-level uniform\(-9,1\): gives values from -9 to 1"),
        ({"rate_hz": "16"}, "--rate-hz 16: wanted 1000 to 768000"),
    ],
)
def test_impossible_requests_are_named(options: dict[str, str], problem: str) -> None:
    found = config_problems(config(**options))
    assert len(found) >= 1
    with pytest.raises(UsageError, match=problem):
        raise UsageError(found)


def test_a_normal_level_without_limits_is_fine() -> None:
    assert config_problems(config(speech_level="normal(-27,3)", noise_level="normal(-35,3)")) == []


def test_short_utterances_are_fine_where_loudness_is_not_asked_for() -> None:
    assert config_problems(config(min_utterance_s="0.1", level_measure="rms")) == []


def test_flags_are_written_with_hyphens() -> None:
    assert flag("min_utterance_s") == "--min-utterance-s"
