"""Strips of frames for the report: what is seen while a waveform is heard."""

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.attachments import Attachment
from transforms.video.containers import library

FRAMES = 12
HEIGHT = 72
_QUALITY = 75

Pixels = NDArray[np.uint8]


def strip_uri(attachments: Sequence[Attachment], share: float) -> str:
    """Returns frames evenly spread over the beginning of an item, side by side, as a ``data:`` URI.

    Args:
        attachments: of the item; pictures are looked for in JPEG files, arrays and MP4 files.
        share: how much of the item is shown, above 0 and up to 1.

    Returns:
        A JPEG image 72 pixels high; empty where there are no pictures.
    """
    from PIL import Image

    found = next((frames for one in attachments if len(frames := _frames(one))), None)
    if found is None:
        return ""
    places = [int((k + 0.5) * share * len(found) / FRAMES) for k in range(FRAMES)]
    images = [Image.fromarray(_pixels(found[place])) for place in places]
    scaled = [image.resize((max(1, image.width * HEIGHT // image.height), HEIGHT)) for image in images]
    sheet = Image.new("RGB", (sum(image.width for image in scaled), HEIGHT))
    left = 0
    for image in scaled:
        sheet.paste(image, (left, 0))
        left += image.width
    file = BytesIO()
    sheet.save(file, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _frames(attachment: Attachment) -> Sequence[Any]:
    """Returns the frames of an attachment in order: files, pictures, or PyAV's frames."""
    if attachment.extension == "jpg":
        return attachment.pieces
    if attachment.extension == "npy":
        return list(np.load(BytesIO(attachment.pieces[0])))
    if attachment.extension == "mp4":
        with library().open(BytesIO(attachment.pieces[0])) as container:
            return list(container.decode(video=0))
    return ()


def _pixels(frame: Any) -> Pixels:
    from PIL import Image

    if isinstance(frame, bytes):
        return np.asarray(Image.open(BytesIO(frame)).convert("RGB"))
    pixels: Pixels = frame if isinstance(frame, np.ndarray) else frame.to_ndarray(format="rgb24")
    return pixels
