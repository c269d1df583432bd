"""Kaldi folders as ESPnet's LibriMix recipes make them: for separation, recognition and diarisation.

``enh/<type>/<subset>`` has a mixture per line (``wav.scp``, ``spk1.scp``, ..., ``noise1.scp``, and
``text_spk1``, ..., ``text`` where all transcripts are known); there each utterance is its own speaker,
and an interferer that is not to be kept counts as noise.
``diar/<type>/<subset>`` has a segment per line, and the recordings they are parts of. ``rttm`` there is
in the form that ESPnet's converter takes (nine fields), ``espnet_rttm`` is what it makes of that:
times in samples, ends in place of durations, and the length of each recording.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transforms.corpora.avse import INTERFERER
from transforms.exports.base import Item, Lists, View, mixtures_problem
from transforms.exports.sorting import sorted_lines
from transforms.plan import Source, is_noise
from transforms.sinks.records import speaker_label
from transforms.storage import OutputTree

SPEAKER_CHANGE = " <sc> "
_NA = "<NA>"
_Line = tuple[str, str]
_Entry = tuple[str, list[_Line]]


def problem(view: View) -> str | None:
    """Says why nobody could read lists of a view, or returns None."""
    if missing := mixtures_problem(view):
        return missing
    shown = view.shown(view.types[0], "id")
    if any(mark.isspace() for mark in shown):
        return f"{shown}: a path in Kaldi's lists ends at the first space; move the corpus to a path without"
    return None


def write_folders(view: View, to: OutputTree) -> list[str]:
    """Writes the folders of every mixture type of one subset at one rate and mode.

    ``spk3.scp`` lists the mixtures that have a third talker. Where it is not known when all talkers
    end, there is no folder for diarisation.

    Args:
        view: of what.
        to: where to, ``<corpus>/<rate>/<mode>/``.

    Returns:
        What was written.

    Raises:
        StorageError: the output cannot be read, or a list not be written.
    """
    with Lists(to) as lists:
        _add_sorted(lists, _mixtures(view))
        if _ends_known(view):
            _add_sorted(lists, _recordings(view))
            _add_sorted(lists, _segments(view))
            _add_speakers(lists, view)
    return lists.paths


def _ends_known(view: View) -> bool:
    talks = (talk for item in view.items() for mix_type in view.types for talk in view.talks(item, mix_type))
    return all(talk.end_s is not None for talk in talks)


def _add_sorted(lists: Lists, entries: Iterable[_Entry]) -> None:
    """Adds lines to files in the order of their keys, which hold no tab."""
    packed = (f"{key}\t{json.dumps(lines)}\n".encode() for key, lines in entries)
    for line in sorted_lines(packed):
        for path, text in json.loads(line.partition(b"\t")[2]):
            lists.add(path, text)


def _line(folder: str, name: str, *words: str) -> _Line:
    return f"{folder}/{name}", " ".join(words) + "\n"


def _mixtures(view: View) -> Iterator[_Entry]:
    for item in view.items():
        yield item.id, [line for mix_type in view.types for line in _mixture_lines(view, item, mix_type)]


def _mixture_lines(view: View, item: Item, mix_type: str) -> Iterator[_Line]:
    folder = f"{view.folder}/enh/{mix_type}/{view.part.subset}"
    yield _line(folder, "wav.scp", item.id, view.shown(mix_type, item.id))
    yield _line(folder, "utt2spk", item.id, item.id)
    yield _line(folder, "spk2utt", item.id, item.id)
    speech = [source for source in view.speech(item, mix_type) if source.role != INTERFERER]
    summed = [role for role in view.members(mix_type) if role in item.record.crc32c]
    noises = [role for role in summed if is_noise(role) or role == INTERFERER]
    for kind, roles in (("spk", [source.role for source in speech]), ("noise", noises)):
        for number, role in enumerate(roles, start=1):
            yield _line(folder, f"{kind}{number}.scp", item.id, view.shown(role, item.id))
    if view.texts:
        texts = [_words(source) for source in speech]
        for number, text in enumerate(texts, start=1):
            yield _line(folder, f"text_spk{number}", item.id, text)
        yield _line(folder, "text", item.id, SPEAKER_CHANGE.join(texts))


def _words(source: Source) -> str:
    return " ".join(source.text.split())


@dataclass(frozen=True, slots=True)
class _Segment:
    """A talker's segment in Kaldi's terms."""

    id: str
    recording: str
    speaker: str
    start_s: float
    end_s: float
    text: str


def _segments_of(view: View, item: Item, mix_type: str) -> Iterator[_Segment]:
    for talk in view.talks(item, mix_type):
        speaker = speaker_label(talk.source)
        start_s, end_s = talk.start_s, item.duration_s if talk.end_s is None else talk.end_s
        times = f"{int(1000 * start_s):06d}_{int(1000 * end_s):06d}"
        segment_id = f"{speaker}-{item.id}_{talk.source.role}_{times}"
        yield _Segment(segment_id, item.id, speaker, start_s, end_s, _words(talk.source))


def _diar_folder(view: View, mix_type: str) -> str:
    return f"{view.folder}/diar/{mix_type}/{view.part.subset}"


def _recordings(view: View) -> Iterator[_Entry]:
    for item in view.items():
        yield item.id, [line for mix_type in view.types for line in _recording_lines(view, item, mix_type)]


def _recording_lines(view: View, item: Item, mix_type: str) -> Iterator[_Line]:
    folder = _diar_folder(view, mix_type)
    yield _line(folder, "wav.scp", item.id, view.shown(mix_type, item.id))
    yield _line(folder, "reco2dur", item.id, f"{item.duration_s:.6f}")
    rate_hz = view.variant.rate_hz
    for one in _segments_of(view, item, mix_type):
        seconds = f"{one.start_s:.6f}", f"{one.end_s - one.start_s:.6f}"
        samples = str(round(one.start_s * rate_hz)), str(round(one.end_s * rate_hz))
        yield _line(folder, "rttm", "SPEAKER", item.id, "1", *seconds, _NA, _NA, one.speaker, _NA)
        yield _line(folder, "espnet_rttm", "SPEAKER", item.id, "1", *samples, _NA, _NA, one.speaker, _NA)
    yield _line(folder, "espnet_rttm", "END", item.id, _NA, _NA, str(item.record.samples), *[_NA] * 4)


def _segments(view: View) -> Iterator[_Entry]:
    for item in view.items():
        for mix_type in view.types:
            folder = _diar_folder(view, mix_type)
            for one in _segments_of(view, item, mix_type):
                yield one.id, list(_segment_lines(view, folder, one))


def _segment_lines(view: View, folder: str, one: _Segment) -> Iterator[_Line]:
    yield _line(folder, "segments", one.id, one.recording, f"{one.start_s:.6f}", f"{one.end_s:.6f}")
    yield _line(folder, "utt2spk", one.id, one.speaker)
    if view.texts:
        yield _line(folder, "text", one.id, one.text)


def _add_speakers(lists: Lists, view: View) -> None:
    for mix_type in view.types:
        folder = _diar_folder(view, mix_type)
        segments = (one for item in view.items() for one in _segments_of(view, item, mix_type))
        lines = sorted_lines(f"{one.speaker}\t{one.id}\n".encode() for one in segments)
        pairs = (line.decode().rstrip("\n").split("\t") for line in lines)
        for speaker, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
            lists.add(*_line(folder, "spk2utt", speaker, *(segment_id for _, segment_id in group)))
