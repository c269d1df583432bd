"""Decoded pictures as bytes: cropped, resized, as JPEG files or as one array."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.video.aligned import AlignOptions, Box
from transforms.video.containers import library

Pixels = NDArray[np.uint8]

JPEG_QUALITY = 90


class FrameMaker:
    """Makes pixels of decoded pictures; keeps what FFmpeg's scaler has prepared from one to the next.

    Colours are converted in one thread by the exact variant of the scaler, which gives the same bytes
    on every processor.

    Args:
        options: crop and size.
    """

    def __init__(self, options: AlignOptions) -> None:
        scaler = library().video.reformatter
        self._options = options
        self._scaler = scaler.VideoReformatter()
        self._exactly = scaler.Interpolation.BILINEAR | scaler.Interpolation.ACCURATE_RND
        self._exactly |= scaler.Interpolation.BITEXACT

    def pixels(self, frame: Any) -> Pixels:
        """Returns a picture, cropped and resized: shape (height, width, 3), uint8, RGB.

        Args:
            frame: PyAV's frame.

        Raises:
            ValueError: the crop is not inside the picture.
        """
        converted = self._scaler.reformat(frame, format="rgb24", interpolation=self._exactly, threads=1)
        found: Pixels = converted.to_ndarray()
        if self._options.crop is not None:
            found = _cropped(found, self._options.crop)
        return found if self._options.size is None else _resized(found, self._options.size)


def _cropped(whole: Pixels, box: Box) -> Pixels:
    height, width = whole.shape[:2]
    left = (width - box.width) // 2 if box.left is None else box.left
    top = (height - box.height) // 2 if box.top is None else box.top
    if left < 0 or top < 0 or left + box.width > width or top + box.height > height:
        raise ValueError(f"the crop {box} is not inside its pictures of {width}x{height}")
    return whole[top : top + box.height, left : left + box.width]


def _resized(whole: Pixels, size: Box) -> Pixels:
    from PIL import Image

    if whole.shape[:2] == (size.height, size.width):
        return whole
    image = Image.fromarray(np.ascontiguousarray(whole))
    return np.asarray(image.resize((size.width, size.height), Image.Resampling.BILINEAR))


def jpeg(picture: Pixels) -> bytes:
    """Returns a picture as a JPEG file of quality 90 with halved colour resolution, no metadata."""
    from PIL import Image

    file = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=2, optimize=False)
    return file.getvalue()


def npy(pictures: Sequence[Pixels]) -> bytes:
    """Returns pictures as one NumPy file: shape (frames, height, width, 3), uint8.

    Raises:
        ValueError: they have different sizes.
    """
    if len({picture.shape for picture in pictures}) > 1:
        raise ValueError("its pictures change their size, so that no array can hold them; name a --size")
    file = BytesIO()
    np.save(file, np.stack(pictures))
    return file.getvalue()
