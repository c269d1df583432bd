"""TFRecords in the hands of TensorFlow Datasets, without any builder code."""

from typing import Any

import numpy as np
import pytest

from tests.consumers.conftest import Made
from transforms.plan import Variant
from transforms.sinks.tfrecord import split_name

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def tfds() -> Any:
    import tensorflow_datasets

    return tensorflow_datasets


def test_builder_from_directory(tfds: Any, variety: tuple[Made, Variant]) -> None:
    made, variant = variety
    corpus = made.parts[0].corpus
    (folder,) = (made.out / corpus / "tfrecord").glob(f"*_{variant.folder}_{variant.mode}/*")
    builder = tfds.builder_from_directory(str(folder))
    assert set(builder.info.splits) == {split_name(part.subset) for part in made.parts}
    for part in made.parts:
        examples = list(tfds.as_numpy(builder.as_dataset(split=part.subset, shuffle_files=False)))
        records, items = list(made.records(part, variant)), made.items(part)
        assert [example["id"].decode() for example in examples] == [item_id for item_id, _ in records]
        for example, item, (item_id, record) in zip(examples, items, records, strict=True):
            for stream in record.crc32c:
                assert example[stream].dtype == np.int16
                np.testing.assert_array_equal(example[stream], made.pcm(part, stream, item_id, variant))
            for name in item.attachments:
                assert np.atleast_1d(example[name]).tolist() == list(made.attached(part, item).values())
