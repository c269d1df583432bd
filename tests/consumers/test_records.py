"""TFRecords in the hands of TensorFlow Datasets, without any builder code."""

from typing import Any

import numpy as np
import pytest

from tests.consumers.conftest import Made
from transforms.plan import Variant

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def tfds() -> Any:
    import tensorflow_datasets

    return tensorflow_datasets


def test_builder_from_directory(tfds: Any, made: Made, narrow: Variant) -> None:
    corpus = made.parts[0].corpus
    (folder,) = (made.out / corpus / "tfrecord").glob(f"*_wav8k_{narrow.mode}/*")
    builder = tfds.builder_from_directory(str(folder))
    assert set(builder.info.splits) == {part.subset for part in made.parts}
    for part in made.parts:
        examples = list(tfds.as_numpy(builder.as_dataset(split=part.subset, shuffle_files=False)))
        records = list(made.records(part, narrow))
        assert [example["id"].decode() for example in examples] == [item_id for item_id, _ in records]
        for example, (item_id, record) in zip(examples, records, strict=True):
            for stream in record.crc32c:
                assert example[stream].dtype == np.int16
                np.testing.assert_array_equal(example[stream], made.pcm(part, stream, item_id, narrow))
