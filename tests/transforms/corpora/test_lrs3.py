"""LRS3: its videos, the split of its speakers, and the lists made from it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.corpora.avse_lists import Masker, Target
from transforms.corpora.lrs3 import (
    Speaker,
    by_speaker,
    make_lists,
    measured_durations,
    read_durations,
    set_folders,
    speaker_of,
    speakers_csv,
    split_speakers,
)
from transforms.errors import UsageError

TWO_MINUTES = 120 * 16000


def speakers(*names: str, group: str = "target", dataset: str = "train") -> list[Speaker]:
    return [Speaker(name, 600.0, "long", group, dataset) for name in names]


# --- where videos are --------------------------------------------------------------------------


def test_sets_are_folders_with_train_in_their_names(tmp_path: Path) -> None:
    for name in ("trainval", "pretrain", "test", "maskers"):
        (tmp_path / name).mkdir()
    (tmp_path / "train.txt").touch()
    assert set_folders(str(tmp_path)) == ("pretrain", "trainval")


def test_what_is_not_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "LRS3").mkdir()
    wanted = (
        r"is not LRS3: looked for folders pretrain and trainval, found LRS3; give the folder that holds them"
    )
    with pytest.raises(UsageError, match=wanted):
        set_folders(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "speaker"),
    [
        ("pretrain/abc/00001.mp4", "abc"),
        ("pretrain/abc/00001.txt", None),
        ("pretrain/abc/00001.MP4", None),
        ("pretrain/00001.mp4", None),
        ("pretrain/abc/deep/00001.mp4", None),
    ],
)
def test_whose_video_it_is(path: str, speaker: str | None) -> None:
    assert speaker_of(path) == speaker


def test_the_videos_of_a_speaker_are_sorted_by_path() -> None:
    paths = ["trainval/b/1.mp4", "pretrain/b/2.mp4", "trainval/a/1.mp4", "pretrain/b/1.mp4", "x.txt"]
    assert by_speaker(paths) == {
        "b": ["pretrain/b/1.mp4", "pretrain/b/2.mp4", "trainval/b/1.mp4"],
        "a": ["trainval/a/1.mp4"],
    }


# --- who is used for what ----------------------------------------------------------------------


def test_the_published_split(repository: Path) -> None:
    folder = repository / "tests/golden/avse/speaker_split"
    durations = read_durations(str(folder / "spk2dur.txt"))
    assert speakers_csv(split_speakers(durations)) == (folder / "speakers.csv").read_bytes()


@pytest.mark.parametrize(
    ("seconds", "amount"), [(540.01, "long"), (540.0, None), (539.99, "mid"), (300.01, "mid"), (300.0, None)]
)
def test_the_bounds_of_the_classes(seconds: float, amount: str | None) -> None:
    durations = {f"s{number}": seconds for number in range(40)}
    found = split_speakers(durations)
    if amount is None:
        assert found == []
    elif amount == "long":
        assert [(one.name, one.group, one.dataset) for one in found] == [
            (name, "target", "train") for name in durations
        ]
    else:
        uses = [(one.amount, one.group, one.dataset) for one in found]
        assert uses == [
            *[("mid", "target", "dev")] * 2,
            *[("mid", "masker", "train")] * 10,
            ("mid", "masker", "dev"),
        ]


@given(st.lists(st.floats(0, 1000), max_size=120))
def test_no_speaker_is_used_twice(seconds: list[float]) -> None:
    durations = {f"s{number}": value for number, value in enumerate(seconds)}
    found = split_speakers(durations)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert all(one.duration_s == durations[one.name] for one in found)
    middle = sum(300 < value < 540 for value in seconds)
    dev = round(0.05 * middle)
    train_maskers = round(0.25 * (middle - dev))
    dev_maskers = round(0.025 * (middle - dev - train_maskers))
    assert len(found) == sum(value > 540 for value in seconds) + dev + train_maskers + dev_maskers


def test_the_table_of_speakers() -> None:
    assert speakers_csv([Speaker("a", 600.5, "long", "target", "train")]) == (
        b"dursecs,speakers,amount,group,dataset\n600.5,a,long,target,train\n"
    )


def test_durations_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "durations.txt"
    path.write_text("b 12.5\n\n a   600 \n")
    assert list(read_durations(str(path)).items()) == [("b", 12.5), ("a", 600.0)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a\n", "line 1: 'a'; wanted a speaker and seconds"),
        ("a 1\nb x\n", "line 2: 'b x'; wanted a speaker and seconds"),
        ("a -1\n", "line 1: 'a -1'; wanted a speaker and seconds"),
        ("a inf\n", "line 1: 'a inf'; wanted a speaker and seconds"),
        ("a b 1\n", "line 1: 'a b 1'; wanted a speaker and seconds"),
        ("a 1\na 2\n", "line 2: a is there already; remove one of them"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "durations.txt"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_durations(str(path))
    assert caught.value.problems == (f"{path}, {problem}",)


def test_a_file_without_durations(tmp_path: Path) -> None:
    path = tmp_path / "durations.txt"
    with pytest.raises(UsageError, match="no such file"):
        read_durations(str(path))
    path.write_text("\n")
    with pytest.raises(UsageError, match="names no speaker; wanted lines of a speaker and seconds"):
        read_durations(str(path))


def test_durations_from_lengths() -> None:
    lengths = {"trainval/b/1.mp4": 16000, "pretrain/b/1.mp4": 8040, "pretrain/a/1.mp4": 100}
    assert list(measured_durations(lengths).items()) == [("a", 0.01), ("b", 1.5)]


# --- lists -------------------------------------------------------------------------------------


def test_targets_and_maskers_are_listed() -> None:
    lengths = {
        "trainval/b/2.mp4": 30,
        "pretrain/b/1.mp4": 20,
        "pretrain/a/1.mp4": 10,
        "trainval/m/1.mp4": 7,
        "pretrain/m/1.mp4": 8,
        "pretrain/unused/1.mp4": 99,
    }
    made = make_lists([*speakers("b", "a"), *speakers("m", group="masker", dataset="dev")], lengths)
    assert made.targets == (
        Target("pretrain/b/1", "b", "train", 20),
        Target("trainval/b/2", "b", "train", 30),
        Target("pretrain/a/1", "a", "train", 10),
    )
    assert made.maskers == (Masker("m", "", "dev", 15),)
    assert (made.dropped, made.rejects) == ((), ())


@pytest.mark.parametrize(("samples", "dropped"), [(TWO_MINUTES, ()), (TWO_MINUTES + 1, ("a",))])
def test_a_speaker_with_a_long_video_is_left_out_as_a_whole(samples: int, dropped: tuple[str, ...]) -> None:
    made = make_lists(
        speakers("a", "b"), {"pretrain/a/1.mp4": samples, "pretrain/a/2.mp4": 5, "pretrain/b/1.mp4": 5}
    )
    assert made.dropped == dropped
    assert [target.speaker for target in made.targets] == (["b"] if dropped else ["a", "a", "b"])


def test_long_videos_of_maskers_are_no_matter() -> None:
    made = make_lists(speakers("m", group="masker"), {"pretrain/m/1.mp4": TWO_MINUTES + 1})
    assert made.maskers == (Masker("m", "", "train", TWO_MINUTES + 1),)


def test_speakers_without_videos_are_rejected() -> None:
    made = make_lists([*speakers("a"), *speakers("m", group="masker")], {})
    assert [(one.item, one.source, one.stage) for one in made.rejects] == [
        ("a", "lrs3:*/a/*.mp4", "list"),
        ("m", "lrs3:*/m/*.mp4", "list"),
    ]
    assert made.rejects[0].reason == "the target speaker has no video that can be decoded"
    assert (made.targets, made.maskers) == ((), ())


def test_a_name_with_a_point_is_rejected() -> None:
    made = make_lists(speakers("a"), {"pretrain/a/1.b.mp4": 5, "pretrain/a/2.mp4": 6})
    assert [target.name for target in made.targets] == ["pretrain/a/2"]
    (reject,) = made.rejects
    assert (reject.item, reject.remedy) == ("pretrain/a/1.b.mp4", "rename it")
