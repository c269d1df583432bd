"""Flags of ``mixtape export`` and ``mixtape rebase``."""

import argparse
from collections.abc import Callable

Adder = Callable[[argparse.ArgumentParser], None]
_JOB = "pipelines.export"


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="the corpus")


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_out(parser)
    parser.add_argument("--to", metavar="DIR", help="where to (default: OUT/exports/<tool>)")


def _add_lhotse(parser: argparse.ArgumentParser) -> None:
    _add_export(parser)
    parser.add_argument("--shar", action="store_true", help="pack the audio into Shar archives too")


def add_rebase(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``rebase``."""
    _add_out(parser)
    parser.add_argument(
        "--paths",
        metavar="absolute|relative|PREFIX",
        help="how the tables name files: relative to the table, or PREFIX/<path in the corpus> (needed)",
    )


EXPORT_KINDS: dict[str, tuple[str, str, Adder]] = {
    "lhotse": (_JOB, "manifests of cuts for Lhotse, and Shar archives", _add_lhotse),
    "espnet": (_JOB, "Kaldi folders for ESPnet, with transcripts and RTTM where they are known", _add_export),
    "asteroid": (_JOB, "a folder of tables or lists per subset for Asteroid", _add_export),
    "speechbrain": (_JOB, "CSV and JSON lists for SpeechBrain", _add_export),
    "hf": (_JOB, "metadata.parquet beside the audio for Hugging Face's audiofolder", _add_out),
}
