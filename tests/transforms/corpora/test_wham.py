"""The layout of WHAM and the names of its copies."""

from pathlib import Path

import pytest

from transforms.corpora import wham
from transforms.corpora.wham import Wham
from transforms.errors import UsageError
from transforms.listing import Header, NoiseClip


@pytest.mark.parametrize(
    ("path", "speed", "expected"),
    [
        ("tr/a_0.5_b_-0.5.wav", 0.8, "tr/a_0.5_b_-0.5sp08.wav"),
        ("tr/a.b/c.wav", 1.2, "tr/a.b/csp12.wav"),
        ("tr/A.WAV", 0.1, "tr/Asp01.WAV"),
        ("a.wav", 10.0, "asp100.wav"),
        ("a.wav", 1.1, "asp11.wav"),
    ],
)
def test_names_of_copies(path: str, speed: float, expected: str) -> None:
    assert wham.copy_path(path, speed) == expected
    assert wham.is_copy(expected)
    assert wham.is_listed_as_augmented(expected)
    assert not wham.is_copy(path)


@pytest.mark.parametrize(
    ("path", "copy", "augmented"),
    [
        ("tr/asp08.wav", True, True),
        ("tr/sp08/a.wav", False, True),
        ("tr/asp12b.wav", False, True),
        ("tr/asp09.wav", True, True),
        ("tr/asp09b.wav", False, False),
        ("tr/speech.wav", False, False),
        ("sp/tr/a.wav", False, False),
    ],
)
def test_copies_are_known_by_ending_and_augmented_rows_by_the_published_marks(
    path: str, copy: bool, augmented: bool
) -> None:
    assert (wham.is_copy(path), wham.is_listed_as_augmented(path)) == (copy, augmented)


def test_rows() -> None:
    header = Header("tr/deep/asp08.wav", 16000, 1, 48000, "WAV", "PCM_16")
    assert Wham().row(header) == NoiseClip("asp08.wav", "tr", 48000, True, "tr/deep/asp08.wav")


@pytest.mark.parametrize(
    ("path", "name"), [("cv/a.wav", "dev.csv"), ("tr/a", "train.csv"), ("tt/a", "test.csv")]
)
def test_listings_have_their_published_names(path: str, name: str) -> None:
    assert Wham().listing_of(path) == name


def test_listings_are_sorted_by_length_then_path() -> None:
    rows = [NoiseClip(p, "tr", n, False, p) for n, p in ((7, "b"), (7, "a"), (5, "c"))]
    assert Wham().csv(rows) == (
        b"noise_ID,subset,length,augmented,origin_path\nc,tr,5,False,c\na,tr,7,False,a\nb,tr,7,False,b\n"
    )


def test_a_folder_that_is_not_wham(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(
        UsageError, match="is not WHAM: looked for a folder cv or tr or tt, found train; give"
    ):
        Wham().folders(str(tmp_path))


@pytest.mark.parametrize("length", [47999, 48000, 48001])
def test_the_layout_states_what_its_listings_leave_out(length: int) -> None:
    assert (length >= Wham.min_length_samples) == (length >= 3 * 16000)
    assert (Wham.rate_hz, Wham.suffixes) == (16000, (".wav",))
