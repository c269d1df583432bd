import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.ledger import WrittenFile, crc32c
from transforms.plan import Part, Variant, id_problem
from transforms.rendering import RenderedMixture
from transforms.sinks.description import (
    LONGEST_KEY,
    PackedFiles,
    describe,
    describe_json,
    item_key,
    sample_bytes,
)
from transforms.storage import OutputTree

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+,=@-]{0,199}", fullmatch=True).filter(
    lambda text: id_problem(text) is None
)


@pytest.mark.parametrize(
    ("mixture_id", "key"),
    [
        ("103-1240-0000_26-495-0001", "103-1240-0000_26-495-0001"),
        ("01aa0101_0.76421_02bb0202_-0.76421", "01aa0101_0_76421_02bb0202_-0_76421"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 67 + "-8c48280d57fb"),
    ],
)
def test_key_of_an_id(mixture_id: str, key: str) -> None:
    assert item_key(mixture_id) == key


@given(IDS)
def test_keys_are_short_and_hold_no_dots(mixture_id: str) -> None:
    key = item_key(mixture_id)
    assert "." not in key
    assert len(key) <= LONGEST_KEY
    assert key.isascii()


def test_long_ids_that_differ_at_the_end_get_different_keys() -> None:
    keys = {item_key("x" * 150 + str(number)) for number in range(100)}
    assert len(keys) == 100


def test_long_ids_that_differ_in_a_dot_only_get_different_keys() -> None:
    assert item_key("x" * 90 + ".5") != item_key("x" * 90 + "_5")


def test_facts_of_an_item(part: Part, make_item: Callable[..., RenderedMixture]) -> None:
    item = make_item("u1_0.5_u2_-0.5", samples=1000)
    assert describe(part, item.mixture, item.variants[1]) == {
        "id": "u1_0.5_u2_-0.5",
        "key": "u1_0_5_u2_-0_5",
        "corpus": "Libri2Mix",
        "subset": "train-100",
        "mode": "min",
        "rate_hz": 16000,
        "samples": 2000,
        "duration_s": 0.125,
        "roles": ["s1", "s2", "noise"],
        "speakers": ["103", "26", ""],
        "sexes": ["F", "M", ""],
        "sources": ["librispeech:a/1.flac", "librispeech:b/2.flac", "wham:tr/n.wav"],
        "offsets_samples": [0, 0, 0],
        "rooms": ["", "", ""],
        "levels": [1.0, 0.25, 2.0],
        "level_kinds": ["gain", "gain", "gain"],
        "level_measures": ["", "", ""],
        "level_references": ["", "", ""],
        "gains": [0.5, 0.125, 1.0],
        "starts_s": [0.0, 0.25, 0.0],
        "ends_s": [0.125, 0.125, 0.125],
        "speeds": [1.0, 1.1, 1.0],
        "texts": ["a word", "", ""],
        "snr_db": {"mix_clean": [0.5, -0.5], "mix_both": [-1.0, -2.25, 7.0]},
    }


LISTS = (
    "roles",
    "speakers",
    "sexes",
    "sources",
    "offsets_samples",
    "rooms",
    "levels",
    "level_kinds",
    "level_measures",
    "level_references",
    "gains",
    "starts_s",
    "ends_s",
    "speeds",
    "texts",
)


def test_facts_leave_out_sources_that_were_not_rendered(
    part: Part, make_item: Callable[..., RenderedMixture]
) -> None:
    item = make_item("a", streams=("s1", "s2", "mix_clean"))
    facts = describe(part, item.mixture, item.variants[0])
    assert facts["roles"] == ["s1", "s2"]
    assert {name: len(value) for name, value in facts.items() if isinstance(value, list)} == dict.fromkeys(
        LISTS, 2
    )


def kinds(value: object) -> object:
    if isinstance(value, dict):
        return {key: kinds(inner) for key, inner in value.items()}
    return sorted({type(inner).__name__ for inner in value}) if isinstance(value, list) else type(value)


def test_json_has_the_same_types_for_whole_and_broken_numbers(
    part: Part, make_item: Callable[..., RenderedMixture]
) -> None:
    whole = make_item("a", samples=8000, level=1)
    broken = make_item("b", samples=8001, level=0.3)
    texts = [describe_json(part, item.mixture, item.variants[0]) for item in (whole, broken)]
    assert b'"levels":[1.0,0.25,2.0]' in texts[0]
    assert b'"duration_s":1.0' in texts[0]
    assert kinds(json.loads(texts[0])) == kinds(json.loads(texts[1]))


def test_json_has_no_null_and_ends_without_a_line_end(
    part: Part, make_item: Callable[..., RenderedMixture]
) -> None:
    item = make_item("a")
    text = describe_json(part, item.mixture, item.variants[0])
    assert b"null" not in text
    assert text.endswith(b"}")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_not_finite(
    value: float, part: Part, make_item: Callable[..., RenderedMixture]
) -> None:
    item = make_item("a")
    odd = replace(item.variants[0], snr_db={"mix_clean": (value,)})
    with pytest.raises(ValueError, match="not JSON compliant"):
        describe_json(part, item.mixture, odd)


def test_sample_bytes_are_little_endian_and_share_memory() -> None:
    pcm = np.array([1, -2, 256, -32768], dtype=np.int16)
    data = sample_bytes(pcm)
    assert data.tobytes() == b"\x01\x00\xfe\xff\x00\x01\x00\x80"
    assert np.shares_memory(data, pcm)


@pytest.mark.parametrize("pcm", [np.arange(10, dtype=np.int16)[::2], np.arange(5, dtype=">i2") * 2])
def test_sample_bytes_of_other_memory_layouts(pcm: np.ndarray) -> None:
    assert sample_bytes(pcm).tobytes() == np.array([0, 2, 4, 6, 8], dtype="<i2").tobytes()


def one_path(variant: Variant) -> str:
    return f"x/{variant.folder}.bin"


@given(pieces=st.lists(st.binary(max_size=50), max_size=8))
def test_size_and_checksum_of_pieces_are_those_of_the_whole(
    pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = OutputTree(str(tmp_path_factory.mktemp("pieces")))
    with PackedFiles(tree, one_path) as files:
        file = files.of(Variant(8000, "min"))
        for piece in pieces:
            file.append(piece, np.frombuffer(piece, dtype=np.uint8))
    whole = b"".join(piece + piece for piece in pieces)
    assert tree.read("x/wav8k.bin") == whole
    assert files.written == (
        WrittenFile("x/wav8k.bin", len(whole), crc32c(whole), hashlib.sha256(whole).hexdigest()),
    )


def test_files_appear_when_the_block_ends_and_not_before(tree: OutputTree) -> None:
    with PackedFiles(tree, one_path) as files:
        files.of(Variant(8000, "min")).append(b"a")
        files.of(Variant(16000, "min")).append(b"b")
        assert not tree.exists("x/wav8k.bin")
    assert [tree.read(f"x/{name}.bin") for name in ("wav8k", "wav16k")] == [b"a", b"b"]


def crash(tree: OutputTree) -> None:
    with PackedFiles(tree, one_path) as files:
        files.of(Variant(8000, "min")).append(b"a")
        files.of(Variant(16000, "min")).append(b"b")
        raise RuntimeError("boom")


def test_files_do_not_appear_after_an_error(
    tree: OutputTree, contents: Callable[[OutputTree], dict[str, bytes]]
) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        crash(tree)
    assert contents(tree) == {}


def test_no_file_without_an_item(
    tree: OutputTree, contents: Callable[[OutputTree], dict[str, bytes]]
) -> None:
    with PackedFiles(tree, one_path) as files:
        pass
    assert files.written == ()
    assert contents(tree) == {}


def test_a_file_is_opened_once_per_variant(local_tree: OutputTree) -> None:
    with PackedFiles(local_tree, one_path) as files:
        first = files.of(Variant(8000, "min"))
        assert files.of(Variant(8000, "min")) is first
        assert files.opened == (first,)
