"""Flags of ``mixtape plan mixtures``, described without importing anything heavy.

None of them has a default of argparse's: a flag that is given wins over the configuration file, which
wins over the default that the help states.
"""

import argparse
from typing import Any

from transforms.planning.mixture_config import MixturesConfig, flag

DISTRIBUTION = (
    "a number, uniform(a,b), normal(mean,deviation[,low,high]), triangular(a,mode,b), choice(a:w,b:w)"
)

LISTING_FLAGS = ("speech", "noise", "rirs")

_LISTINGS = {
    "speech": "listing of utterances, as `mixtape metadata audio` writes it; its optional columns text "
    "and subset count (needed)",
    "noise": "listing of noises (needed unless --noises 0)",
    "rirs": "listing of room impulse responses; each mixture is put into one room, every source with its "
    "own response; rooms are named by the column room, or by folders",
}

_WORDS = {
    "subsets": ("NAME:SHARE", "subsets and their shares of the speakers, noises and rooms"),
    "count": ("N", "mixtures to plan: of all subsets together, or of each (train:20000 dev:3000)"),
    "hours": ("H", "hours of mixtures to plan, instead of --count"),
    "speakers": ("N", "speakers per mixture: a number, or several with weights (2:0.6 3:0.4)"),
}

_CHOICES = {
    "corpus": ("NAME", "name of the corpus: begins all folder and file names"),
    "talkers": (
        "RULE",
        "different, same or any: whether a mixture's utterances are by different speakers; any also takes "
        "utterances whose speakers are not known",
    ),
    "reuse": (
        "RULE",
        "independent: no mixture depends on others, so a source that goes changes only its own mixtures; "
        "even: all utterances are used equally often, and a source that goes changes most mixtures",
    ),
    "max_uses": ("K", "how often an utterance may be used, with --reuse even; 0 sets no limit"),
    "overlap": ("RULE", "full, none, sequential (after gaps), or ratios such as uniform(0,1)"),
    "gap_s": ("DIST", "seconds between utterances, for --overlap sequential"),
    "level_measure": ("MEASURE", "measure of levels: lufs, rms or active (ITU-T P.56)"),
    "speech_level": ("DIST", "level of every utterance, in dB of --level-measure"),
    "interferer_level": ("DIST", "level of all utterances but s1, if another"),
    "interferer_snr": ("DIST", "instead of it: by how many dB s1 exceeds each other utterance"),
    "snr_measure": ("MEASURE", "measure of SNRs: rms (energy over the whole mixture), lufs or active"),
    "noises": ("N", "noises per mixture"),
    "noise_snr": ("DIST", "by how many dB --noise-against exceeds each noise"),
    "noise_level": ("DIST", "instead of it: level of each noise, in dB of --level-measure"),
    "noise_against": ("ROLE", "speech (the sum of all utterances) or s1"),
    "speed": ("DIST", "factor by which each utterance is played faster, to a hundredth"),
    "min_utterance_s": ("S", "leave out shorter utterances"),
    "max_utterance_s": ("S", "leave out longer utterances"),
    "rate_hz": ("HZ", "sampling rate of the mixtures; sources of other rates are resampled"),
    "clip": ("RULE", "what becomes of a mixture beyond full scale: scale all its members, or reject it"),
    "seed": ("N", "seed of all draws"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``plan mixtures``, but for those that all commands have."""
    parser.description = f"{parser.description or ''} DIST is a distribution: {DISTRIBUTION}.".strip()
    add = parser.add_argument
    for name, text in _LISTINGS.items():
        add(flag(name), metavar="URL", help=text)
    add("--out", metavar="URL", help="folder for the plans (needed)")
    add(
        "--config", metavar="URL", help="YAML file with any of these options, written with _ for -; flags win"
    )
    add(
        "--shard-size",
        metavar="N",
        default="100",
        help="mixtures per shard of the Parquet plan; render has its own",
    )
    defaults = MixturesConfig()
    for name, (metavar, text) in _WORDS.items():
        add(flag(name), nargs="+", metavar=metavar, help=_with_default(text, getattr(defaults, name)))
    for name, (metavar, text) in _CHOICES.items():
        add(flag(name), metavar=metavar, help=_with_default(text, getattr(defaults, name)))


def _with_default(text: str, default: Any) -> str:
    """States a default, where there is one, in words that argparse leaves alone."""
    return text if default is None else f"{text} (default: {default})".replace("%", "%%")
