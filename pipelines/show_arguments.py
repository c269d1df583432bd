"""The flags of ``mixtape show`` and ``mixtape report``, described without importing anything heavy."""

import argparse

ROOT_HELP = "where a corpus root is now, if it has moved"


def add_show(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``show``."""
    _without_beam(parser)
    add = parser.add_argument
    add("out", metavar="OUT", help="the corpus")
    add("item", metavar="ID", help="id of the mixture")
    add(
        "--play-files",
        metavar="DIR",
        help="write its WAVs, and what is attached to it, below this folder, out of any format",
    )
    add("--root", nargs="+", metavar="NAME=URL", default=[], help=ROOT_HELP)


def add_report(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``report``."""
    _without_beam(parser)
    add = parser.add_argument
    add("out", metavar="OUT", help="the corpus")
    add("--root", nargs="+", metavar="NAME=URL", default=[], help=ROOT_HELP)


def _without_beam(parser: argparse.ArgumentParser) -> None:
    """Says that a command starts no pipeline, so that flags it does not know are mistakes."""
    parser.set_defaults(on_beam=False, quiet=False, verbose=False)
    parser.epilog = "Paths may be local or any URL that fsspec knows (gs://, s3://, memory://)."
