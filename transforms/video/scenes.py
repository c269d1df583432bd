"""What goes with an AVSE scene besides its samples: the target's video without sound, and its times."""

from transforms.attachments import Attachment, Facts
from transforms.audio import SourceReader
from transforms.corpora.avse import video_of
from transforms.plan import Mixture
from transforms.video.containers import copy_silent


def silent_video(mixture: Mixture, reader: SourceReader) -> tuple[tuple[Attachment, ...], Facts]:
    """Copies the video that a scene's target talks in.

    Args:
        mixture: the scene.
        reader: reads the video, and remembers its copy for the next scene with the same target.

    Returns:
        The copy; and as facts ``frame_count``, ``frame_rate`` (such as ``25`` or ``30000/1001``, ``0``
        where it is not stated) and ``frame_times_s``, the presentation times on the video's own clock.

    Raises:
        SourceError: the video is missing or damaged.
    """
    video = reader.once(video_of(mixture), copy_silent)
    facts: Facts = {
        "frame_count": len(video.times_s),
        "frame_rate": str(video.rate),
        "frame_times_s": video.times_s,
    }
    return (Attachment("video", "mp4", (video.data,)),), facts
