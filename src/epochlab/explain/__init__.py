"""Why a network says what it says: arrays in, arrays out, for any Keras model.

    places = list_places(model)                      # every layer, nested ones too
    cam = compute_gradcam(model, images, classes)    # where the class is seen
    maps = compute_activations(model, images)        # what each layer makes of the image
    filters = excite_filters(model, place)           # what each filter looks for

Images are raw pixels, 0..255, as the model takes them: its own preprocessing is part of it.
"""

from epochlab.explain.activations import compute_activations, draw_channels, measure_sparsity
from epochlab.explain.attribution import compute_saliency, integrate_gradients
from epochlab.explain.filters import excite_filters, stretch_pattern
from epochlab.explain.gradcam import compute_gradcam, place_map
from epochlab.explain.layers import Place, find_last_convolution, find_place, list_places

__all__ = [
    "Place",
    "compute_activations",
    "compute_gradcam",
    "compute_saliency",
    "draw_channels",
    "excite_filters",
    "find_last_convolution",
    "find_place",
    "integrate_gradients",
    "list_places",
    "measure_sparsity",
    "place_map",
    "stretch_pattern",
]
