"""Facts and attached files as features of Examples, against what TensorFlow itself writes and reads."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.attachments import FeatureKind
from transforms.sinks.tfrecord import encoded_values, example_pieces, features_json

_INTS = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(width=32, allow_nan=False)
_VALUES: dict[FeatureKind, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "int": _INTS,
    "ints": st.lists(_INTS),
    "float": _FLOATS,
    "floats": st.lists(_FLOATS),
    "text": st.text(),
    "texts": st.lists(st.text()),
    "file": st.tuples(st.binary()),
    "files": st.lists(st.binary()),
}
_FIELDS = {"text": "bytes_list", "file": "bytes_list", "float": "float_list"}


@pytest.fixture(scope="session")
def tf() -> Any:
    import tensorflow

    return tensorflow


def feature(tf: Any, kind: FeatureKind, value: Any) -> Any:
    data = b"".join(map(bytes, example_pieces({"x": encoded_values(kind, value)})))
    return tf.train.Example.FromString(data).features.feature["x"]


@given(st.data())
def test_tensorflow_reads_every_kind(tf: Any, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(_VALUES)))
    value = data.draw(_VALUES[kind])
    read = list(getattr(feature(tf, kind, value), _FIELDS.get(kind.rstrip("s"), "int64_list")).value)
    if kind in ("text", "texts"):
        read = [one.decode() for one in read]
    assert read == list(value if kind in ("ints", "floats", "texts", "file", "files") else [value])


@pytest.mark.parametrize("kind", ["ints", "floats", "texts", "files"])
def test_an_empty_list_has_its_kind(tf: Any, kind: FeatureKind) -> None:
    field = _FIELDS.get(kind.rstrip("s"), "int64_list")
    assert feature(tf, kind, []).WhichOneof("kind") == field


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", -1),
        ("ints", [0, -5, 2**63 - 1]),
        ("floats", [0.5, -2.0]),
        ("texts", ["é", ""]),
        ("flag", True),
    ],
)
def test_bytes_are_those_that_tensorflow_writes(tf: Any, kind: FeatureKind, value: Any) -> None:
    data = b"".join(map(bytes, example_pieces({"x": encoded_values(kind, value)})))
    assert tf.train.Example.FromString(data).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize(
    ("kind", "dtype", "shape"),
    [
        ("flag", "bool", {}),
        ("int", "int64", {}),
        ("ints", "int64", {"dimensions": ["-1"]}),
        ("float", "float32", {}),
        ("floats", "float32", {"dimensions": ["-1"]}),
        ("text", "string", {}),
        ("texts", "string", {"dimensions": ["-1"]}),
        ("file", "string", {}),
        ("files", "string", {"dimensions": ["-1"]}),
    ],
)
def test_every_kind_is_declared(kind: FeatureKind, dtype: str, shape: dict[str, Any]) -> None:
    features = json.loads(features_json(["s1"], {"x": kind}))["featuresDict"]["features"]
    assert features["x"]["tensor"] == {"dtype": dtype, "encoding": "none", "shape": shape}
    assert features["s1"]["tensor"]["dtype"] == "int16"
