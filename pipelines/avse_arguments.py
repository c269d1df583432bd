"""Flags of the commands that make AVSE scenes, described without importing anything heavy."""

import argparse

SUBSETS = ("train", "dev")


def add_metadata(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``metadata lrs3``, but for those that all commands have."""
    add = parser.add_argument
    add("--corpus", metavar="URL", help="root of LRS3, which holds pretrain and trainval (needed)")
    add("--out", metavar="URL", help="folder for the lists (needed)")
    add(
        "--speaker-durations",
        metavar="URL",
        help="text file with a speaker and seconds of talk per line, which decides who is target and who is "
        "masker (default: as measured)",
    )


def add_maskers(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``maskers avse``, but for those that all commands have."""
    add = parser.add_argument
    add("--lrs3", metavar="URL", help="root of LRS3 (needed)")
    add("--metadata", metavar="URL", help="folder with masker_speech_list.json (needed)")
    add("--out", metavar="URL", help="folder for the maskers, <speaker>.wav (needed)")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``plan avse``, but for those that all commands have."""
    add = parser.add_argument
    add(
        "--metadata",
        metavar="URL",
        help="folder with target_speech_list.json, masker_speech_list.json and masker_noise_list.json "
        "(needed)",
    )
    add("--out", metavar="URL", help="folder for the lists scenes.<subset>.json (needed)")
    add("--config", metavar="URL", help="YAML or JSON file with the published keys (default: as published)")
    add(
        "--subsets",
        nargs="+",
        metavar="NAME",
        help="datasets to plan; one that is left out, or whose list is there already, draws no random "
        f"numbers (default: all of the configuration: {' '.join(SUBSETS)})",
    )


def add_render(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``render avse``, but for those that all commands have."""
    add = parser.add_argument
    add("--plan", nargs="+", metavar="URL", help="lists scenes.<subset>.json, or folders of them (needed)")
    add("--lrs3", metavar="URL", help="root of LRS3, which holds the targets' videos (needed)")
    add("--noise-maskers", metavar="URL", help="folder of noises, <ID>.wav (needed)")
    add("--speech-maskers", metavar="URL", help="folder of speech maskers, <speaker>.wav (needed)")
    add(
        "--target-wavs",
        metavar="URL",
        help="folder of extracted target audio, <set>/<speaker>/<utterance>.wav, to read instead of decoding "
        "the videos",
    )
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    add("--formats", nargs="+", metavar="FORMAT", default=["wav"], help="of wav, webdataset, tfrecord")
    add("--shard-size", metavar="N", default="100", help="scenes per shard: the unit of work and of resume")
    add("--prune", action="store_true", help="remove what an earlier run made and this plan does not hold")
    parser.set_defaults(rates=["16000"], modes=["min"], types=["mixed"], table_paths="relative")
