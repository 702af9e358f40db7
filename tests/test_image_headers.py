"""Headers of images: what one decoder takes may be too damaged for the other."""

import io

import numpy as np
from PIL import Image

from epochlab.data.checking.headers import read_header


def test_animation_that_is_cut_anywhere_has_a_header():
    """The first frame is whole, so TensorFlow decodes the file; Pillow looks for the second one."""
    frames = [Image.fromarray(np.full((5, 4, 3), grey, np.uint8)) for grey in (0, 90, 200)]
    opened = io.BytesIO()
    frames[0].save(opened, "GIF", save_all=True, append_images=frames[1:])
    whole = opened.getvalue()
    assert read_header(whole).animated
    for end in range(len(whole)):
        assert read_header(whole[:end]).orientation == 1
