"""The command line: every command, flag and default, described without importing anything heavy."""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from pipelines import align_arguments, avse_arguments, pack_arguments, show_arguments
from pipelines.export_arguments import EXPORT_KINDS, add_rebase

Adder = Callable[[argparse.ArgumentParser], None]

LIBRIMIX_SUBSETS = ("test-clean", "dev-clean", "train-clean-360", "train-clean-100")

_EPILOG = """\
Flags that this command does not know go to Apache Beam, so --runner FlinkRunner --flink_master HOST:PORT
and the like work on every job. Paths may be local or any URL that fsspec knows (gs://, s3://, memory://).
Exit status: 0 all good; 1 finished, but more items were rejected than --max-rejects allows, or the run
broke off; 2 bad usage or bad input, found before work began; 130 interrupted."""


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """States every default, and keeps the line breaks of descriptions."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", argparse.SUPPRESS, []):
            return action.help
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(action.default)})"
        return super()._get_help_string(action)


def default_workers() -> int:
    """Returns the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_parser(version: str) -> argparse.ArgumentParser:
    """Returns the parser of the ``mixtape`` command; each command's ``job`` names what runs it."""
    parser = argparse.ArgumentParser(
        prog="mixtape",
        description="Builds training corpora for speech separation and enhancement from corpora on disk.",
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mixtape {version}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add(commands, "demo", "pipelines.demo", "make small corpora and everything from them", _demo)
    _group(commands, "metadata", "list a corpus from file headers", _METADATA)
    _group(commands, "augment", "make speed-changed copies of noises", _AUGMENT)
    _add(commands, "activity", "pipelines.corpora", "active speech level of every utterance", _activity)
    _group(commands, "maskers", "make the long recordings that interferers are cut from", _MASKERS)
    _group(commands, "plan", "decide what is mixed with what", _PLAN)
    _group(commands, "render", "mix, cut and write what a plan says", _RENDER)
    _group(commands, "build", "metadata, plan and render in one go", _BUILD)
    _add(commands, "align", "pipelines.align", "cut videos into sound and the frames of it", _align)
    _group(commands, "export", "list a corpus for other tools", _EXPORT)
    _add(commands, "pack", "pipelines.pack", "make compressed archives readable at random", _pack)
    _add(commands, "verify", "pipelines.verify", "compare an output with what its ledger says", _verify)
    _add(commands, "show", "pipelines.show", "tell one item's whole story", show_arguments.add_show)
    _add(commands, "report", "pipelines.report", "make an output's report anew", show_arguments.add_report)
    _add(
        commands,
        "rebase",
        "pipelines.rebase",
        "rewrite the tables of a corpus that moved",
        _with_common(add_rebase),
    )
    return parser


def _add(commands: Any, name: str, job: str, text: str, adder: Adder) -> None:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    adder(parser)
    parser.set_defaults(job=job, parser=parser)


def _group(commands: Any, name: str, text: str, kinds: dict[str, tuple[str, str, Adder]]) -> None:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(parser=parser)
    inner = parser.add_subparsers(title="kinds", metavar="KIND", dest="kind")
    for kind, (job, description, adder) in kinds.items():
        _add(inner, kind, job, description, adder)


def _common(parser: argparse.ArgumentParser, *, makes: bool = True) -> None:
    group = parser.add_argument_group("running")
    add = group.add_argument
    add("--workers", metavar="N", default=str(default_workers()), help="worker processes of a local run")
    add("--dry-run", action="store_true", help="say what would be done; write nothing")
    if makes:
        again = group.add_mutually_exclusive_group()
        again.add_argument(
            "--resume", action="store_true", help="keep what is in order already (this is the rule)"
        )
        again.add_argument("--force", action="store_true", help="make everything anew")
    loud = group.add_mutually_exclusive_group()
    loud.add_argument("--quiet", action="store_true", help="print problems only")
    loud.add_argument("--verbose", action="store_true", help="print what Beam logs as well")


def _rejecting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-rejects", metavar="N|P%", default="0", help="rejected items that a good run may have"
    )


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", default="demo-corpus", help="where to")
    _common(parser)


def _corpus_listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", metavar="URL", help="root of the corpus (needed)")
    parser.add_argument("--out", metavar="URL", help="folder for the listings (needed)")
    _rejecting(parser)
    _common(parser)


def _metadata_librispeech(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subsets", nargs="+", metavar="NAME", help="only these subsets (all that are there)"
    )
    _corpus_listing(parser)


def _metadata_audio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speaker-pattern",
        metavar="REGEX",
        help="regular expression with a group named speaker, searched in each path",
    )
    parser.add_argument(
        "--transcripts",
        action="store_true",
        help="take texts from the files *.trans.txt beside the audio: an id and its words per line",
    )
    parser.add_argument("--licence", metavar="TEXT", help="licence of all files, such as 'CC BY 4.0'")
    _corpus_listing(parser)


def _augment(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--corpus", metavar="URL", help="root of the WHAM noise corpus (needed)")
    add("--speeds", nargs="+", metavar="FACTOR", default=["0.8", "1.2"], help="speed factors")
    add(
        "--engine",
        metavar="ENGINE",
        default="sox",
        help="sox needs the program SoX and gives the published bits; soxr needs none, and only comes close",
    )
    _rejecting(parser)
    _common(parser)


def _librimix_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--speakers", metavar="N", default="2", help="speakers per mixture")
    add(
        "--subsets",
        nargs="+",
        metavar="NAME",
        help="subsets to plan, in this order: it decides the random stream "
        f"(default: those of {' '.join(LIBRIMIX_SUBSETS)} that are there)",
    )
    add(
        "--round-to",
        metavar="N",
        default="100",
        help="cut each subset to a multiple of N mixtures; 1 cuts none",
    )
    add("--dev-test-size", metavar="N", default="3000", help="mixtures of a dev or test subset")
    add("--seed", metavar="N", default="72", help="seed of the random stream")


def _plan_librimix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--librispeech-metadata", metavar="URL", help="folder of LibriSpeech listings (needed)")
    add("--wham-metadata", metavar="URL", help="folder of WHAM listings (needed)")
    add("--librispeech", metavar="URL", help="the audio, for gains; without it: ids, sources and noises only")
    add("--wham", metavar="URL", help="the noise audio, for gains")
    add("--out", metavar="URL", help="folder for the plans (needed)")
    add(
        "--shard-size",
        metavar="N",
        default="100",
        help="mixtures per shard of the Parquet plan; render has its own",
    )
    _librimix_choices(parser)
    _rejecting(parser)
    _common(parser)


_NOISY_TYPES = ("mix_clean", "mix_both", "mix_single")


def _render_choices(
    parser: argparse.ArgumentParser,
    *,
    rates: Sequence[str] = ("8000", "16000"),
    modes: Sequence[str] = ("min", "max"),
    types: Sequence[str] = _NOISY_TYPES,
) -> None:
    add = parser.add_argument
    add("--rates", nargs="+", metavar="HZ", default=list(rates), help="output rates")
    add(
        "--modes",
        nargs="+",
        metavar="MODE",
        default=list(modes),
        help="min cuts to the shortest source, max pads to the longest",
    )
    add(
        "--types",
        nargs="+",
        metavar="TYPE",
        default=list(types),
        help="mixtures to write; noise is read only if one of them holds it",
    )
    add("--formats", nargs="+", metavar="FORMAT", default=["wav"], help="of wav, webdataset, tfrecord")
    add("--shard-size", metavar="N", default="100", help="mixtures per shard: the unit of work and of resume")
    add(
        "--table-paths",
        metavar="absolute|relative|PREFIX",
        help="how the tables name files: relative to the table, or PREFIX/<path in the output> "
        "(default: absolute, or what rebase has made of them)",
    )
    add("--prune", action="store_true", help="remove what an earlier run made and this plan does not hold")
    add(
        "--licence",
        nargs="+",
        metavar="ROOT=TEXT",
        help="licences of the corpora, for the card, where they are not the published ones",
    )


def _render_librimix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--plan", nargs="+", metavar="URL", help="plan files, or folders that hold them (needed)")
    add("--librispeech", metavar="URL", help="root of LibriSpeech (needed)")
    add("--wham", metavar="URL", help="root of the WHAM noises (needed if a type holds noise)")
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    _render_choices(parser)
    _rejecting(parser)
    _common(parser)


def _wsj0mix_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--wsj0", metavar="URL", help="the folder wsj0, or the one that holds it (needed)")
    add(
        "--activity-levels",
        nargs="+",
        metavar="URL",
        help="tables of activity levels, or folders of them (needed)",
    )


def _render_wsj0mix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--plan", nargs="+", metavar="URL", help="lists mix_N_spk_{tr,cv,tt}.txt, or folders of them (needed)"
    )
    _wsj0mix_inputs(parser)
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    _render_choices(parser, rates=("8000",), types=("mix",))
    _rejecting(parser)
    _common(parser)


def _render_mixtures(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--plan", nargs="+", metavar="URL", help="Parquet plans, or folders that hold them (needed)")
    add("--root", nargs="+", metavar="NAME=URL", default=[], help="where speech, noise and rir are (needed)")
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    _render_choices(parser, rates=("16000",), modes=("max",))
    _rejecting(parser)
    _common(parser)


def _plan_wsj0mix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _wsj0mix_inputs(parser)
    add("--out", metavar="URL", help="folder for the lists (needed)")
    add("--speakers", metavar="N", default="2", help="speakers per mixture, 2 to 5")
    add(
        "--counts",
        nargs="+",
        metavar="COND:N",
        default=["tr:20000", "cv:5000", "tt:3000"],
        help="mixtures of each condition; of one with 0 no list is made",
    )
    add("--seed", metavar="N", default="0", help="seed of all draws")
    _common(parser)


def _plan_mixtures(parser: argparse.ArgumentParser) -> None:
    from pipelines.plan_mixtures_arguments import add_arguments

    add_arguments(parser)
    _common(parser)


def _activity(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--corpus", metavar="URL", help="folder of utterances, at any depth (needed)")
    add("--out", metavar="FILE", help="text file to write; a .parquet file stands beside it (needed)")
    add(
        "--measure",
        choices=("bandpass", "plain"),
        default="bandpass",
        help="bandpass gives the levels of wsj0-mix, plain those of ITU-T G.191",
    )
    _rejecting(parser)
    _common(parser)


def _build_librimix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--librispeech", metavar="URL", help="root of LibriSpeech (needed)")
    add("--wham", metavar="URL", help="root of the WHAM noises (needed)")
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    add("--librispeech-metadata", metavar="URL", help="listings to use instead of making them")
    add("--wham-metadata", metavar="URL", help="noise listings to use instead of making them")
    _librimix_choices(parser)
    _render_choices(parser)
    _rejecting(parser)
    _common(parser)


def _pack(parser: argparse.ArgumentParser) -> None:
    pack_arguments.add_arguments(parser)
    _common(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", metavar="OUT", help="the corpus")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sample", metavar="N", default="20", help="items to check per subset, evenly spread")
    which.add_argument("--all", action="store_true", help="check every item")
    which.add_argument("--items", nargs="+", metavar="ID", help="check these items")
    add(
        "--root",
        nargs="+",
        metavar="NAME=URL",
        default=[],
        help="where a corpus root is now, if it has moved",
    )
    _common(parser, makes=False)


def _with_common(own: Adder) -> Adder:
    def add(parser: argparse.ArgumentParser) -> None:
        own(parser)
        _common(parser)

    return add


def _with_rejecting(own: Adder) -> Adder:
    def add(parser: argparse.ArgumentParser) -> None:
        own(parser)
        _rejecting(parser)
        _common(parser)

    return add


def _align(parser: argparse.ArgumentParser) -> None:
    _with_rejecting(align_arguments.add_align)(parser)


_METADATA: dict[str, tuple[str, str, Adder]] = {
    "librispeech": ("pipelines.corpora", "list LibriSpeech: OUT/<subset>.csv", _metadata_librispeech),
    "wham": ("pipelines.corpora", "list WHAM noises: OUT/{train,dev,test}.csv", _corpus_listing),
    "audio": ("pipelines.corpora", "list any folder or manifest of audio: OUT/audio.csv", _metadata_audio),
    "lrs3": (
        "pipelines.metadata_lrs3",
        "list targets and speech maskers of LRS3 for AVSE scenes",
        _with_rejecting(avse_arguments.add_metadata),
    ),
}
_MASKERS: dict[str, tuple[str, str, Adder]] = {
    "avse": (
        "pipelines.maskers",
        "one long file per speech masker: OUT/<speaker>.wav",
        _with_rejecting(avse_arguments.add_maskers),
    ),
}
_AUGMENT: dict[str, tuple[str, str, Adder]] = {
    "wham": ("pipelines.corpora", "speed-changed copies beside the training noises", _augment),
}
_PLAN: dict[str, tuple[str, str, Adder]] = {
    "librimix": ("pipelines.plan", "plan Libri2Mix or Libri3Mix exactly as published", _plan_librimix),
    "wsj0mix": ("pipelines.plan_wsj0mix", "new lists in the form of wsj0-mix's", _plan_wsj0mix),
    "mixtures": ("pipelines.plan_mixtures", "plan mixtures of any speech and any noise", _plan_mixtures),
    "avse": (
        "pipelines.plan_avse",
        "plan AVSE scenes exactly as published: OUT/scenes.<subset>.json",
        _with_common(avse_arguments.add_plan),
    ),
}
_RENDER: dict[str, tuple[str, str, Adder]] = {
    "librimix": ("pipelines.render", "render LibriMix plans, published or your own", _render_librimix),
    "wsj0mix": ("pipelines.render", "render wsj0-mix lists, published or your own", _render_wsj0mix),
    "mixtures": ("pipelines.render", "render plans of any speech and any noise", _render_mixtures),
    "avse": (
        "pipelines.render",
        "render AVSE scenes, published or your own",
        _with_rejecting(avse_arguments.add_render),
    ),
}
_BUILD: dict[str, tuple[str, str, Adder]] = {
    "librimix": ("pipelines.build", "LibriMix from the corpora to the finished tree", _build_librimix),
}
_EXPORT: dict[str, tuple[str, str, Adder]] = {
    kind: (job, text, _with_common(adder)) for kind, (job, text, adder) in EXPORT_KINDS.items()
}
