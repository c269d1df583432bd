"""Licences of listings: from a flag or a manifest, through the plan, into what an output says of itself."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms import report
from transforms.finishing import PartSummary
from transforms.plan import StoredPlan
from transforms.publishing import CARD_PATH, CROISSANT_PATH
from transforms.sharding import RenderJob, plan_path


@pytest.fixture(autouse=True)
def short_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a line in place of the report, which no test here reads and which takes most of the time."""

    def lines(job: RenderJob, summaries: list[PartSummary]) -> str:
        return f"{job.out}: {len(summaries)} parts"

    monkeypatch.setattr(report, "make_report", lines)


@dataclass(frozen=True)
class Sounds:
    """Two talkers, a noise, and whatever is made of them."""

    folder: Path
    mixtape: Mixtape

    def list(self, name: str, *flags: str, corpus: str = "") -> int:
        """Lists the folder ``name``, or a manifest in it."""
        given = ["--corpus", str(self.folder / name / corpus), "--out", str(self.folder / "lists" / name)]
        return self.mixtape("metadata", "audio", *given, *flags).status

    def list_speech(self, *licences: str) -> None:
        """Lists the speech by a manifest with a licence for each of the two files; none without any."""
        lines = ["path,speaker", "ann.wav,ann", "bob.wav,bob"]
        if licences:
            lines = [f"{line},{text}" for line, text in zip(lines, ("licence", *licences), strict=True)]
        (self.folder / "speech" / "files.csv").write_text("\n".join(lines) + "\n")
        assert self.list("speech", corpus="files.csv") == 0

    def plan(self, *flags: str) -> StoredPlan:
        """Plans three mixtures of what is listed."""
        names = {"--speech": "speech", "--noise": "noise"}
        words = [
            word for flag, name in names.items() for word in (flag, f"{self.folder}/lists/{name}/audio.csv")
        ]
        out = self.folder / "plan"
        shutil.rmtree(out, ignore_errors=True)
        assert self.mixtape("plan", "mixtures", *words, "--count", "3", "--out", str(out), *flags).status == 0
        (path,) = out.rglob("*.parquet")
        return StoredPlan.open(str(path))

    def render(self, *flags: str) -> str:
        """Renders the plan; returns what is said."""
        roots = [f"{name}={self.folder / name}" for name in ("speech", "noise")]
        words = ["--plan", str(self.folder / "plan"), "--root", *roots, "--out", str(self.out)]
        outcome = self.mixtape("render", "mixtures", *words, "--rates", "8000", *flags)
        assert outcome.status == 0
        return outcome.out

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def card(self) -> Any:
        return DatasetCard.load(self.out / CARD_PATH)

    def recorded(self) -> object:
        """Returns the licences in the record of the last run."""
        return json.loads((self.out / "_mixtape/run.json").read_text())["licences"]


@pytest.fixture
def sounds(mixtape: Mixtape, tmp_path: Path) -> Sounds:
    for seed, name in enumerate(("speech/ann", "speech/bob", "noise/fan")):
        trees.write_noise(tmp_path / f"{name}.wav", 17000, seed=seed)
    return Sounds(tmp_path, mixtape)


def test_the_licence_of_a_listing_is_that_of_the_corpus(sounds: Sounds) -> None:
    sounds.list_speech("CC BY 4.0", "cc-by-4.0")
    assert sounds.list("noise", "--licence", "CC BY-NC 4.0") == 0
    plan = sounds.plan()
    assert plan.licences == {"noise": ("CC BY-NC 4.0",), "speech": ("CC BY 4.0", "cc-by-4.0")}
    assert "LICENCE UNKNOWN" not in sounds.render()
    assert sounds.card.data.license == "cc-by-nc-4.0"
    assert "| speech | CC BY 4.0 |" in sounds.card.text
    assert "- noise: no commercial use" in sounds.card.text
    croissant = json.loads((sounds.out / CROISSANT_PATH).read_text())
    assert croissant["license"] == "https://creativecommons.org/licenses/by-nc/4.0/"
    assert sounds.recorded() == {"noise": ["CC BY-NC 4.0"], "speech": ["CC BY 4.0", "cc-by-4.0"]}
    assert StoredPlan.open(str(sounds.out / plan_path("mixtures-train"))).licences == plan.licences


def test_several_licences_of_one_corpus_are_told_apart(sounds: Sounds) -> None:
    sounds.list_speech("CC BY 4.0", "CC BY-NC 4.0")
    assert sounds.list("noise", "--licence", "CC0 1.0") == 0
    sounds.plan()
    sounds.render()
    assert sounds.card.data.license == "cc-by-nc-4.0"
    assert "| speech (CC BY 4.0) | CC BY 4.0 |" in sounds.card.text
    assert "- speech (CC BY-NC 4.0): no commercial use" in sounds.card.text


def test_one_file_of_unknown_licence_makes_the_whole_unknown(sounds: Sounds) -> None:
    sounds.list_speech("CC BY 4.0", "")
    assert sounds.list("noise", "--licence", "CC BY 4.0") == 0
    assert sounds.plan().licences["speech"] == ("CC BY 4.0", "unknown")
    assert "LICENCE UNKNOWN of speech, and so of what was made: say it with --licence speech=TEXT" in (
        sounds.render()
    )
    assert sounds.card.data.license == "unknown"


def test_what_render_is_told_wins(sounds: Sounds) -> None:
    sounds.list_speech("CC BY-NC 4.0", "")
    assert sounds.list("noise") == 0
    assert set(sounds.plan().licences) == {"speech"}
    assert "LICENCE UNKNOWN of noise, speech" in sounds.render()
    assert "LICENCE UNKNOWN of noise," in sounds.render("--licence", "speech=CC BY 4.0")
    assert "LICENCE UNKNOWN" not in sounds.render("--licence", "noise=CC BY 4.0")
    assert sounds.card.data.license == "cc-by-4.0"
    assert sounds.recorded() == {"noise": "CC BY 4.0", "speech": "CC BY 4.0"}


def test_another_licence_changes_what_is_said_and_no_sound(sounds: Sounds) -> None:
    sounds.list_speech("CC BY 4.0", "CC BY 4.0")
    assert sounds.list("noise", "--licence", "CC BY 4.0") == 0
    sounds.plan()
    sounds.render()
    before = trees.identities(sounds.out)
    sounds.render()
    assert trees.changed(before, sounds.out) == set()
    assert sounds.list("noise", "--licence", "CC BY-SA 4.0") == 0
    sounds.plan()
    sounds.render()
    assert sounds.card.data.license == "cc-by-sa-4.0"
    changed = trees.changed(before, sounds.out)
    assert {CARD_PATH, CROISSANT_PATH, "_mixtape/run.json"} <= changed
    assert not [path for path in changed if path.endswith(".wav") or path.startswith("_mixtape/ledger/")]


def test_parts_of_other_listings_are_unknown_beside_those_that_state_any(sounds: Sounds) -> None:
    sounds.list_speech("CC BY 4.0", "CC BY 4.0")
    assert sounds.list("noise", "--licence", "CC BY 4.0") == 0
    sounds.plan()
    assert "LICENCE UNKNOWN" not in sounds.render()
    sounds.list_speech()
    assert sounds.plan("--corpus", "more").licences == {"noise": ("CC BY 4.0",)}
    assert "LICENCE UNKNOWN of speech," in sounds.render()
    assert "| speech (unknown) | unknown |" in sounds.card.text


def test_a_plan_of_listings_without_licences_says_nothing_of_them(sounds: Sounds) -> None:
    sounds.list_speech()
    assert sounds.list("noise") == 0
    plan = sounds.plan()
    assert plan.licences == {}
    assert b"mixtape.licences" not in Path(plan.url).read_bytes()
    assert "LICENCE UNKNOWN of noise, speech" in sounds.render()
    assert sounds.recorded() == {}
