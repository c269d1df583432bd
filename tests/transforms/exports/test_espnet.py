"""ESPnet's Kaldi folders: lists, order, transcripts, segments."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.transforms.exports.conftest import OPTIONS, ViewsOf
from transforms.exports.base import View
from transforms.exports.espnet import problem, write_folders
from transforms.plan import Mixture
from transforms.storage import OutputTree

Lines = Callable[[str, str], list[str]]


@pytest.fixture
def lines(to: OutputTree) -> Lines:
    """Returns ``lines(folder, name)``: a list, which must be sorted as Kaldi wants it."""

    def read(folder: str, name: str) -> list[str]:
        data = to.read(f"{folder}/{name}")
        assert data.endswith(b"\n")
        keys = [line.split(b" ")[0] for line in data.splitlines()]
        assert name.endswith("rttm") or keys == sorted(keys)
        return data.decode().splitlines()

    return read


def said(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
    """Lets every talker say something, in reverse order of ids."""
    return [
        dataclasses.replace(
            one,
            sources=tuple(
                dataclasses.replace(source, text=f"{source.role}  says\nfoo")
                if source.role != "noise"
                else source
                for source in one.sources
            ),
        )
        for one in reversed(mixtures)
    ]


def test_folders_of_separation(views: ViewsOf, to: OutputTree, lines: Lines) -> None:
    view = views(change=lambda mixtures: list(reversed(mixtures)))[1]
    write_folders(view, to)
    folder = "Libri2Mix/wav8k/max/enh/mix_both/train-100"
    assert to.names(folder) == ["noise1.scp", "spk1.scp", "spk2.scp", "spk2utt", "utt2spk", "wav.scp"]
    ids = [f"m{index:04d}" for index in range(5)]
    assert lines(folder, "spk2.scp") == [f"{one} {view.shown('s2', one)}" for one in ids]
    assert lines(folder, "wav.scp")[0] == f"m0000 {view.shown('mix_both', 'm0000')}"
    assert lines(folder, "utt2spk") == lines(folder, "spk2utt") == [f"{one} {one}" for one in ids]
    assert to.names("Libri2Mix/wav8k/max") == ["enh"]


def test_a_mixture_lists_what_it_sums(views: ViewsOf, to: OutputTree) -> None:
    write_folders(views()[0], to)
    base = "Libri2Mix/wav8k/min/enh"
    assert "noise1.scp" not in to.names(f"{base}/mix_clean/train-100")
    single = to.names(f"{base}/mix_single/train-100")
    assert ("spk1.scp" in single, "spk2.scp" in single, "noise1.scp" in single) == (True, False, True)


def test_transcripts_of_each_talker_and_of_all_in_turn(views: ViewsOf, to: OutputTree, lines: Lines) -> None:
    write_folders(views("mixtures", said)[1], to)
    folder = "mixtures/wav8k/max/enh/mix_clean/train"
    assert lines(folder, "text_spk2")[0] == "train-0000000 s2 says foo"
    assert lines(folder, "text")[0] == "train-0000000 s1 says foo <sc> s2 says foo"
    assert lines("mixtures/wav8k/max/enh/mix_single/train", "text")[0] == "train-0000000 s1 says foo"


def diarised(views: ViewsOf, to: OutputTree) -> View:
    view = views("mixtures", said)[1]
    write_folders(view, to)
    return view


def test_segments_lead_to_recordings_and_speakers(views: ViewsOf, to: OutputTree, lines: Lines) -> None:
    view = diarised(views, to)
    folder = "mixtures/wav8k/max/diar/mix_both/train"
    items = {item.id: item for item in view.items()}
    speakers = dict(line.split(" ") for line in lines(folder, "utt2spk"))
    texts = dict(line.split(" ", 1) for line in lines(folder, "text"))
    found = [line.split(" ") for line in lines(folder, "segments")]
    assert len(found) == 10
    for name, recording, start, end in found:
        assert name.startswith(f"{speakers[name]}-{recording}_")
        role = name.removeprefix(f"{speakers[name]}-{recording}_").split("_")[0]
        record = items[recording].record
        assert float(start) == pytest.approx(record.starts_s[role], abs=1e-6)
        assert float(end) == pytest.approx(record.ends_s[role], abs=1e-6)
        assert texts[name] == f"{role} says foo"


def test_speakers_have_all_their_segments(views: ViewsOf, to: OutputTree, lines: Lines) -> None:
    diarised(views, to)
    folder = "mixtures/wav8k/max/diar/mix_clean/train"
    of_speaker = {line.split(" ")[0]: line.split(" ")[1:] for line in lines(folder, "spk2utt")}
    pairs = [line.split(" ") for line in lines(folder, "utt2spk")]
    assert [(name, speaker) for speaker, names in of_speaker.items() for name in names] == [
        tuple(pair) for pair in pairs
    ]
    assert [len(names) for names in of_speaker.values()] == [1, 2, 2, 2, 2, 1]


def test_rttm_in_seconds_and_in_samples(views: ViewsOf, to: OutputTree, lines: Lines) -> None:
    view = diarised(views, to)
    folder = "mixtures/wav8k/max/diar/mix_single/train"
    assert [line.split(" ") for line in lines(folder, "reco2dur")] == [
        [item.id, f"{item.duration_s:.6f}"] for item in sorted(view.items(), key=lambda item: item.id)
    ]
    for line in lines(folder, "rttm"):
        kind, _, channel, start, length, *_ = line.split(" ")
        assert (kind, channel, len(line.split(" "))) == ("SPEAKER", "1", 9)
        assert float(start) == 0.0
        assert float(length) > 0
    ends = [line.split(" ") for line in lines(folder, "espnet_rttm") if line.startswith("END")]
    assert {words[1]: int(words[4]) for words in ends} == {
        item.id: item.record.samples for item in view.items()
    }


def test_nobody_segments_what_ends_nobody_knows_when(views: ViewsOf, to: OutputTree) -> None:
    shortest, longest = views()
    assert any("/diar/" in path for path in write_folders(shortest, to))
    assert not any("/diar/" in path for path in write_folders(longest, to))


def test_paths_with_blanks_are_refused(views: ViewsOf) -> None:
    view = views(options=dataclasses.replace(OPTIONS, table_paths="/my data"))[0]
    assert "/my data/Libri2Mix/wav8k/min/train-100/mix_clean/id.wav: a path in Kaldi's lists ends" in str(
        problem(view)
    )
    assert problem(views(options=dataclasses.replace(OPTIONS, table_paths="/data"))[0]) is None
