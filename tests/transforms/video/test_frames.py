"""Pictures as bytes: colours, crops, sizes, JPEG files and arrays."""

from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transforms.video.aligned import AlignOptions, Box
from transforms.video.frames import FrameMaker, Pixels, jpeg, npy

HEIGHT, WIDTH = 48, 64


def gradient() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([4 * columns, 5 * rows, 255 - 2 * columns], axis=-1).clip(0, 255).astype(np.uint8)


def frame(form: str = "yuv420p") -> Any:
    return av.VideoFrame.from_ndarray(gradient(), format="rgb24").reformat(format=form)


def pixels(picture: Any, options: AlignOptions) -> Pixels:
    return FrameMaker(options).pixels(picture)


def test_one_maker_makes_pictures_of_all_kinds() -> None:
    maker = FrameMaker(AlignOptions())
    for form in ("yuv420p", "gray", "yuv420p"):
        assert np.array_equal(maker.pixels(frame(form)), pixels(frame(form), AlignOptions()))


def test_colours_survive() -> None:
    found = pixels(frame(), AlignOptions())
    assert (found.shape, found.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert np.abs(found.astype(int) - gradient()).mean() < 4


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "gray", "rgb24"])
def test_any_form_of_picture(form: str) -> None:
    assert pixels(frame(form), AlignOptions()).shape == (HEIGHT, WIDTH, 3)


def test_the_same_bytes_every_time() -> None:
    first, second = (pixels(frame(), AlignOptions(size=Box(20, 10))) for _ in range(2))
    assert jpeg(first) == jpeg(second)
    assert npy([first]) == npy([second])


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(16, 12), slice(18, 30), slice(24, 40)),
        (Box(16, 12, 0, 0), slice(0, 12), slice(0, 16)),
        (Box(16, 12, 48, 36), slice(36, 48), slice(48, 64)),
        (Box(64, 48), slice(0, 48), slice(0, 64)),
        (Box(15, 11), slice(18, 29), slice(24, 39)),
    ],
)
def test_crops(box: Box, rows: slice, columns: slice) -> None:
    whole, cropped = pixels(frame(), AlignOptions()), pixels(frame(), AlignOptions(crop=box))
    assert np.array_equal(cropped, whole[rows, columns])


@pytest.mark.parametrize("box", [Box(65, 10), Box(10, 49), Box(10, 10, 55, 0), Box(10, 10, 0, 39)])
def test_a_crop_outside(box: Box) -> None:
    with pytest.raises(ValueError, match="is not inside its pictures of 64x48"):
        pixels(frame(), AlignOptions(crop=box))


def test_a_size_after_a_crop() -> None:
    found = pixels(frame(), AlignOptions(crop=Box(32, 32), size=Box(8, 16)))
    assert found.shape == (16, 8, 3)
    whole = pixels(frame(), AlignOptions(crop=Box(32, 32)))
    assert abs(float(found.mean()) - float(whole.mean())) < 2


def test_the_size_that_there_is_changes_nothing() -> None:
    assert np.array_equal(
        pixels(frame(), AlignOptions(size=Box(WIDTH, HEIGHT))), pixels(frame(), AlignOptions())
    )


def test_jpeg_files() -> None:
    picture = pixels(frame(), AlignOptions())
    image = Image.open(BytesIO(jpeg(picture)))
    assert (image.format, image.size, image.mode) == ("JPEG", (WIDTH, HEIGHT), "RGB")
    assert not image.getexif()
    assert np.abs(np.asarray(image).astype(int) - picture).mean() < 4


def test_arrays() -> None:
    picture = pixels(frame(), AlignOptions())
    found = np.load(BytesIO(npy([picture, picture // 2])))
    assert (found.shape, found.dtype) == ((2, HEIGHT, WIDTH, 3), np.uint8)
    assert np.array_equal(found[1], picture // 2)


def test_arrays_hold_pictures_of_one_size() -> None:
    picture = pixels(frame(), AlignOptions())
    with pytest.raises(ValueError, match="change their size, so that no array can hold them; name a --size"):
        npy([picture, picture[1:]])
