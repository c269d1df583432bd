"""LRS3 as the AVSE challenge uses it: where its videos are, and which speakers are targets and maskers.

A video is ``<set>/<speaker>/<utterance>.mp4``; the sets are the folders whose names hold ``train``
(``pretrain`` and ``trainval``). The split of the speakers is that of the challenge's first script.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transforms import storage
from transforms.corpora import abridged
from transforms.corpora.avse import LRS3
from transforms.corpora.avse_lists import RATE_HZ, Masker, Target
from transforms.corpora.plan_names import decimal
from transforms.errors import StorageError, UsageError
from transforms.listing import limited
from transforms.rejects import Reject, csv_bytes

SUFFIX = ".mp4"
SPEAKERS_FILE = "speakers.csv"
LONGEST_TARGET_S = 120

_SET_MARK = "train"
_LONG_S, _MIDDLE_S = 540.0, 300.0
_DEV_TARGETS, _TRAIN_MASKERS, _DEV_MASKERS = 0.05, 0.25, 0.025
_SPLIT_SEED = 5
_PATH_PARTS = 3
_LIST_STAGE = "list"
_DURATION_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Speaker:
    """What a speaker is used for.

    Attributes:
        name: folder of the speaker.
        duration_s: seconds of talk.
        amount: ``long`` or ``mid``.
        group: ``target`` or ``masker``.
        dataset: ``train`` or ``dev``.
    """

    name: str
    duration_s: float
    amount: str
    group: str
    dataset: str


@dataclass(frozen=True)
class MadeLists:
    """The lists that come of a corpus.

    Attributes:
        targets: by dataset and speaker as split, the videos of a speaker sorted.
        maskers: one entry per masker speaker, as split.
        dropped: target speakers that are left out, as one of their videos is too long.
        rejects: speakers and videos that cannot be listed.
    """

    targets: tuple[Target, ...]
    maskers: tuple[Masker, ...]
    dropped: tuple[str, ...]
    rejects: tuple[Reject, ...]


def set_folders(root: str) -> tuple[str, ...]:
    """Returns the sets below a corpus root, sorted.

    Raises:
        StorageError: the root cannot be listed.
        UsageError: there is none.
    """
    names = storage.list_folder(root)
    found = tuple(name for name in names if _SET_MARK in name and storage.is_folder(storage.join(root, name)))
    if not found:
        raise UsageError(
            f"{root}: is not LRS3: looked for folders pretrain and trainval, found {abridged(names)}; "
            "give the folder that holds them"
        )
    return found


def speaker_of(path: str) -> str | None:
    """Returns whose video a path relative to the corpus root is; None where it is no video of the corpus.

    >>> speaker_of("pretrain/00j9bKdiOjk/00001.mp4"), speaker_of("pretrain/notes.txt")
    ('00j9bKdiOjk', None)
    """
    parts = path.split("/")
    return parts[1] if len(parts) == _PATH_PARTS and path.endswith(SUFFIX) else None


def by_speaker(paths: Iterable[str]) -> dict[str, list[str]]:
    """Returns the videos of every speaker, sorted by path."""
    videos: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        speaker = speaker_of(path)
        if speaker is not None:
            videos[speaker].append(path)
    return dict(videos)


def read_durations(url: str) -> dict[str, float]:
    """Reads a text file with a speaker and seconds of talk per line. Raises UsageError."""
    try:
        lines = storage.read_text(url).split("\n")
    except StorageError as error:
        raise UsageError(str(error)) from error
    durations: dict[str, float] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        duration_s = decimal(fields[-1])
        if len(fields) != 2 or duration_s is None or not 0 <= duration_s < math.inf:
            problems.append(f"{url}, line {number}: {line!r}; wanted a speaker and seconds")
        elif fields[0] in durations:
            problems.append(f"{url}, line {number}: {fields[0]} is there already; remove one of them")
        else:
            durations[fields[0]] = duration_s
    if not durations and not problems:
        problems.append(f"{url}: names no speaker; wanted lines of a speaker and seconds")
    if problems:
        raise UsageError(limited(problems))
    return durations


def measured_durations(lengths: Mapping[str, int]) -> dict[str, float]:
    """Returns the seconds of talk of every speaker, to a hundredth, given the length of every video."""
    return {
        speaker: round(sum(lengths[path] for path in paths) / RATE_HZ, _DURATION_DECIMALS)
        for speaker, paths in sorted(by_speaker(lengths).items())
    }


def split_speakers(durations: Mapping[str, float]) -> list[Speaker]:
    """Splits speakers into targets and maskers for train and dev, as published.

    Those above 540 s are targets for train. Of those between 300 s and 540 s, 5 % are targets for dev;
    of the rest 25 % are maskers for train; of the rest 2.5 % are maskers for dev. All others are unused,
    as are those of exactly 540 s.

    Args:
        durations: seconds of talk by speaker; the order counts.

    Returns:
        The used speakers: targets for train in the order given, then the others as drawn.
    """
    long = [name for name, seconds in durations.items() if seconds > _LONG_S]
    middle = [name for name, seconds in durations.items() if _MIDDLE_S < seconds < _LONG_S]
    dev, middle = _sampled(middle, _DEV_TARGETS)
    train_maskers, middle = _sampled(middle, _TRAIN_MASKERS)
    dev_maskers, _ = _sampled(middle, _DEV_MASKERS)
    groups = (
        (long, "long", "target", "train"),
        (dev, "mid", "target", "dev"),
        (train_maskers, "mid", "masker", "train"),
        (dev_maskers, "mid", "masker", "dev"),
    )
    return [Speaker(name, durations[name], *use) for names, *use in groups for name in names]


def _sampled(names: Sequence[str], share: float) -> tuple[list[str], list[str]]:
    """Draws a share of names, as pandas samples rows with ``random_state=5``; returns these and the rest."""
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(names))
    drawn = [names[place] for place in order[: round(share * len(names))]]
    taken = set(drawn)
    return drawn, [name for name in names if name not in taken]


def speakers_csv(speakers: Iterable[Speaker]) -> bytes:
    """Returns the published table of speakers."""
    head = ("dursecs", "speakers", "amount", "group", "dataset")
    rows = ((one.duration_s, one.name, one.amount, one.group, one.dataset) for one in speakers)
    return csv_bytes([head, *rows])


def make_lists(speakers: Sequence[Speaker], lengths: Mapping[str, int]) -> MadeLists:
    """Lists the targets and maskers of a corpus.

    A target speaker with any video above two minutes is left out as a whole. A masker's length is
    that of all its videos together.

    Args:
        speakers: as split.
        lengths: samples at 16 kHz by path of video; videos that cannot be decoded are not in it.
    """
    videos = by_speaker(lengths)
    targets: list[Target] = []
    maskers: list[Masker] = []
    dropped, rejects = [], []
    for speaker in speakers:
        paths = videos.get(speaker.name, [])
        if not paths:
            rejects.append(_without_videos(speaker))
        elif speaker.group == "masker":
            total = sum(lengths[path] for path in paths)
            maskers.append(Masker(speaker.name, "", speaker.dataset, total))
        elif any(lengths[path] > LONGEST_TARGET_S * RATE_HZ for path in paths):
            dropped.append(speaker.name)
        else:
            named = [path for path in paths if _is_named_well(path)]
            rejects += [_badly_named(path) for path in paths if not _is_named_well(path)]
            targets += _targets(speaker, named, lengths)
    return MadeLists(tuple(targets), tuple(maskers), tuple(dropped), tuple(rejects))


def _targets(speaker: Speaker, paths: Iterable[str], lengths: Mapping[str, int]) -> Iterator[Target]:
    for path in paths:
        yield Target(path.removesuffix(SUFFIX), speaker.name, speaker.dataset, lengths[path])


def _is_named_well(path: str) -> bool:
    return "." not in path.rpartition("/")[2].removesuffix(SUFFIX)


def _badly_named(path: str) -> Reject:
    reason = "its name holds a point, which the published lists cut it at"
    return Reject(path, f"{LRS3}:{path}", _LIST_STAGE, reason, "rename it")


def _without_videos(speaker: Speaker) -> Reject:
    reason = f"the {speaker.group} speaker has no video that can be decoded"
    source = f"{LRS3}:*/{speaker.name}/*{SUFFIX}"
    return Reject(speaker.name, source, _LIST_STAGE, reason, "complete the corpus, or take the speaker out")
