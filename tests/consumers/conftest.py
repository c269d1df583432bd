"""Tiny corpora of every recipe, made by the command line, for the readers that people use."""

import dataclasses
import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from pipelines import cli
from tests import trees
from tests.clips import write_clip
from tests.conftest import TinyCorpora
from transforms.finishing import stored_summaries
from transforms.ledger import ItemRecord, VariantRecord, read_part
from transforms.plan import MODES, Mixture, Part, Variant
from transforms.recipes import Recipe, recipe_named
from transforms.sharding import RenderJob
from transforms.storage import OutputTree

RECIPES = ("librimix", "wsj0mix", "mixtures")
WITH_VIDEO = {"avse": Variant(16000, "min"), "aligned": Variant(16000, "max")}
TEXTS = ("ONE AND TWO", "THREE", "")
NARROW = Variant(8000, "min")


@dataclass(frozen=True)
class Made:
    """A finished corpus, and what its ledger says of it.

    Attributes:
        out: its root.
        recipe: name of the recipe.
    """

    out: Path
    recipe: str

    @property
    def tree(self) -> OutputTree:
        return OutputTree(str(self.out))

    @property
    def parts(self) -> list[Part]:
        return [summary.part for summary in stored_summaries(self.tree)]

    def folder(self, part: Part, variant: Variant = NARROW) -> Path:
        """Returns the published folder of a rate and mode."""
        return self.out / part.corpus / variant.folder / variant.mode

    def mixtures(self, part: Part) -> dict[str, Mixture]:
        """Returns the planned mixtures by id."""
        plan = RenderJob(str(self.out), self.recipe, {}, trees.SMALL).stored_plan(part.name)
        return {mixture.id: mixture for mixture in plan.read_all()}

    def items(self, part: Part) -> list[ItemRecord]:
        """Returns what the ledger says of the written items, in plan order."""
        plan = RenderJob(str(self.out), self.recipe, {}, trees.SMALL).stored_plan(part.name)
        return [item for ledger in read_part(self.tree, part, plan.shard_count) for item in ledger.items]

    def records(self, part: Part, variant: Variant = NARROW) -> Iterator[tuple[str, VariantRecord]]:
        """Yields id and record of every item at one rate and mode, in plan order."""
        for item in self.items(part):
            yield item.id, next(record for record in item.variants if record.variant == variant)

    def wav(self, part: Part, stream: str, item_id: str, variant: Variant = NARROW) -> Path:
        """Returns the published place of a WAV file."""
        return self.out / recipe_named(self.recipe).wav_path(part, variant, stream, item_id)

    def pcm(self, part: Part, stream: str, item_id: str, variant: Variant = NARROW) -> NDArray[np.int16]:
        """Returns the samples of a stream, which must be those that the ledger knows."""
        record = next(record for one, record in self.records(part, variant) if one == item_id)
        samples, rate_hz = soundfile.read(self.wav(part, stream, item_id, variant), dtype="int16")
        assert rate_hz == variant.rate_hz
        assert google_crc32c.value(samples.astype("<i2").tobytes()) == record.crc32c[stream]
        return samples

    def attached(self, part: Part, item: ItemRecord) -> dict[str, bytes]:
        """Returns the files that go with an item, as archives end their names; the ledger must know them."""
        recipe = self.rules(part)
        found: dict[str, bytes] = {}
        for name, pieces in item.attachments.items():
            kind = recipe.attachment_named(name)
            for number, (ending, piece) in enumerate(zip(kind.endings(len(pieces)), pieces, strict=True)):
                data = (self.out / recipe.attachment_path(part, kind, item.id, number)).read_bytes()
                assert (len(data), google_crc32c.value(data)) == (piece.size_bytes, piece.crc32c)
                found[ending] = data
        return found

    def rules(self, part: Part) -> Recipe:
        """Returns the recipe as the stored plan of a part has it."""
        plan = RenderJob(str(self.out), self.recipe, {}, trees.SMALL).stored_plan(part.name)
        return recipe_named(self.recipe).with_settings(plan.settings)

    def export(self, target: str, *words: str | Path) -> None:
        """Runs ``mixtape export``."""
        assert cli.main(["export", target, str(self.out), "--quiet", "--workers", "1", *map(str, words)]) == 0


def archives(made: Made, part: Part, variant: Variant) -> list[Path]:
    folder = made.out / part.corpus / "webdataset" / variant.folder / variant.mode
    return sorted(folder.glob(f"{part.subset}-*.tar"))


def assert_wav(data: bytes, made: Made, part: Part, stream: str, item_id: str, variant: Variant) -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate_hz == variant.rate_hz
    np.testing.assert_array_equal(samples, made.pcm(part, stream, item_id, variant))


Make = Callable[[str], Made]
_CHOICES = ["--formats", "wav", "webdataset", "tfrecord", "--shard-size", "2", "--quiet", "--workers", "1"]


def _with_texts(corpus: trees.Corpus, texts: tuple[str, ...]) -> trees.Corpus:
    """Gives the talkers transcripts, where the recipe's plans have room for them."""
    mixtures = [
        dataclasses.replace(
            mixture,
            sources=tuple(
                dataclasses.replace(source, text=texts[(number + place) % len(texts)])
                if source.role != "noise"
                else source
                for place, source in enumerate(mixture.sources)
            ),
        )
        for number, mixture in enumerate(corpus.mixtures)
    ]
    return corpus.with_mixtures(mixtures)


def _clips(folder: Path) -> Path:
    """Writes two clips of noise, which give three segments of a second."""
    for number, pictures in enumerate((50, 25)):
        rng = np.random.default_rng(number)
        sound = rng.integers(-9000, 9000, 640 * pictures, dtype=np.int16)
        write_clip(folder / f"talk/{number}.mov", sound, pictures=pictures, seed=number)
    return folder


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: TinyCorpora) -> Make:
    """Returns ``make(recipe)``: a corpus of that recipe, made once per test process.

    LibriMix is built from listings to audio, in three subsets, with ids in the published form; the
    others are rendered from plans. ``mixtures`` has a room, and a transcript for every talker. AVSE scenes
    have silent videos; ``aligned`` holds segments of two clips with their frames.
    """

    @functools.cache
    def made(recipe: str) -> Made:
        folder = tmp_path_factory.mktemp(recipe)
        out = folder / "out"
        if recipe == "librimix":
            corpora = [f"--librispeech={tiny_corpora.librispeech}", f"--wham={tiny_corpora.wham}"]
            sizes = ["--round-to", "1", "--dev-test-size", "4"]
            words = ["build", "librimix", *corpora, *sizes, "--out", str(out)]
            assert cli.main([*words, *_CHOICES]) == 0
        elif recipe == "aligned":
            words = ["align", "--corpus", str(_clips(folder / "in")), "--segment", "1", "--out", str(out)]
            assert cli.main([*words, *_CHOICES]) == 0
        else:
            corpus = trees.make_corpus(folder / "in", recipe=recipe)
            if recipe == "mixtures":
                corpus = _with_texts(corpus, TEXTS[:2])
            tables = ["--table-paths", "absolute"] if corpus.kind.varied else []
            assert trees.run(corpus, out, *_CHOICES, *tables) == 0
        return Made(out, recipe)

    return made


@pytest.fixture(scope="session", params=RECIPES)
def made(request: pytest.FixtureRequest, make: Make) -> Made:
    """A corpus of each recipe in turn; tests must not write into it, exports apart."""
    return make(request.param)


_OF_MIXTURES = [
    *(
        pytest.param((recipe, Variant(8000, mode)), id=f"{recipe}-{mode}")
        for recipe in RECIPES
        for mode in MODES
    ),
    pytest.param(("avse", WITH_VIDEO["avse"]), id="avse"),
]


@pytest.fixture(scope="session", params=_OF_MIXTURES)
def mixing(request: pytest.FixtureRequest, make: Make) -> tuple[Made, Variant]:
    """A corpus of each recipe that mixes, and a rate and mode of it."""
    recipe, variant = request.param
    return make(recipe), variant


@pytest.fixture(
    scope="session",
    params=[*_OF_MIXTURES, pytest.param(("aligned", WITH_VIDEO["aligned"]), id="aligned")],
)
def variety(request: pytest.FixtureRequest, make: Make) -> tuple[Made, Variant]:
    """A corpus of each recipe, and a rate and mode of it."""
    recipe, variant = request.param
    return make(recipe), variant


@pytest.fixture(scope="session", params=MODES)
def narrow(request: pytest.FixtureRequest) -> Variant:
    """8 kHz in each mode."""
    return Variant(8000, request.param)


@pytest.fixture(scope="session")
def librimix(make: Make) -> Made:
    """Libri2Mix in three subsets."""
    return make("librimix")
