"""Explanations: how long they take, whether filters get excited, whether heatmaps mean anything.

    python benchmarks/explain.py filters FILE.h5
    python benchmarks/explain.py activations RUN IMAGE
    python benchmarks/explain.py randomise RUN data/cats_dogs/test
    python benchmarks/explain.py complete RUN data/cats_dogs/test

FILE.h5 is a weights file of VGG16. `filters` excites 64 filters of block3_conv1 and then, beyond
the clock, the others, and prints time, peak memory, and how many end at least five times as
excited as the noise that they start from. `activations` prints the seconds for every convolution
and pooling of one image, the run's model already loaded.

`randomise` is the test of Adebayo et al., "Sanity Checks for Saliency Maps", 2018,
arXiv:1810.03292: the share of Grad-CAM's map that lies on the animal, with the run's weights and
with new random ones of the same architecture. There are no masks of the animals: boxes around them
were drawn by eye on every twentieth photograph of each class, in `tests/data/animal_boxes.csv`, as
shares of width and height. Boxes that take the whole photograph are left out. The class explained
is the true one. `complete` prints how far integrated gradients of the same photographs are from
adding up to the difference of the scores.
"""

import argparse
import csv
import resource
import statistics
import time
from pathlib import Path

BOXES = Path(__file__).parent.parent / "tests" / "data" / "animal_boxes.csv"
LAYER = "block3_conv1"


def excite(arguments: argparse.Namespace) -> None:
    """Prints time and memory of 64 filters, and how many filters of the layer got excited."""
    import numpy as np

    from epochlab.explain import excite_filters, find_place, list_places
    from epochlab.models.transfer import TransferConfig, build_transfer_model

    config = TransferConfig(
        backbone="vgg16", weights=arguments.weights, output_layer="block5_pool", image_size=None,
        scaling=arguments.scaling, dense_units=(256,), dropout=(0.0,), activation="relu",
    )  # fmt: skip
    model = build_transfer_model(config, (150, 150, 3), 2, seed=1).whole
    place = find_place(list_places(model), LAYER)
    started, cpu = time.perf_counter(), time.process_time()
    first = excite_filters(model, place, range(64))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"64 filters of {LAYER}, 40 steps, 150 x 150: {seconds:.1f} s ({cpu:.1f} s of CPU time)")
    print(f"peak memory {peak:.2f} GB", flush=True)
    results = [first]
    if arguments.all:
        results.append(excite_filters(model, place, range(64, place.map_shape[2])))
    before, after = (
        np.concatenate([getattr(result, name) for result in results])
        for name in ("before", "after")
    )
    excited = after >= 5 * before
    silent = before == 0
    print(
        f"{excited.sum()} of {len(before)} filters ({excited.mean():.1%}) excited at least 5 times "
        f"as much as by the noise; {(silent & (after > 0)).sum()} of {silent.sum()} that were "
        f"silent answer; median ratio {np.median(after[~silent] / before[~silent]):.1f}"
    )


def activate(arguments: argparse.Namespace) -> None:
    """Prints the seconds for all feature maps of one image."""
    from epochlab.explain import compute_activations, draw_channels

    trained = _open(arguments.run)
    pixels = trained.input_format.decode(arguments.image.read_bytes())
    started = time.perf_counter()
    maps = compute_activations(trained.keras_model, pixels[None])
    for values in maps.values():
        draw_channels(values[0])
    print(f"{len(maps)} layers, computed and drawn: {time.perf_counter() - started:.2f} s")


def randomise(arguments: argparse.Namespace) -> None:
    """Prints the share of the maps on the animals, trained and randomised, and a paired test."""
    import keras
    import numpy as np
    from scipy.stats import ttest_rel, wilcoxon

    trained = _open(arguments.run)
    model = trained.keras_model
    pixels, labels, boxes = _read_boxes(arguments.photographs, trained)
    area = boxes.reshape(len(boxes), -1).mean(axis=1)
    ours = _shares(model, pixels, labels, boxes)
    random = []
    for seed in range(arguments.seeds):
        other = keras.models.clone_model(model, recursive=True)
        # The layers' own initialisers have the run's seed, and would give the same weights again.
        for number, weight in enumerate(other.trainable_weights):
            if len(weight.shape) > 1:
                weight.assign(keras.initializers.GlorotUniform(1000 * seed + number)(weight.shape))
        random.append(_shares(other, pixels, labels, boxes))
        print(f"random weights, seed {seed}: {np.nanmean(random[-1]):.4f}", flush=True)
    mean = np.nanmean(random, axis=0)
    both = np.isfinite(ours) & np.isfinite(mean)
    print(
        f"{both.sum()} of {len(ours)} photographs; the others have an empty map\n"
        f"mean share of the map on the animal: trained {ours[both].mean():.4f}, randomised "
        f"{mean[both].mean():.4f} (the animals take {area[both].mean():.4f} of the area)\n"
        f"higher when trained in {(ours[both] > mean[both]).sum()} of {both.sum()}; paired t-test "
        f"p = {ttest_rel(ours[both], mean[both], alternative='greater').pvalue:.2g}, Wilcoxon "
        f"p = {wilcoxon(ours[both], mean[both], alternative='greater').pvalue:.2g}"
    )


def complete(arguments: argparse.Namespace) -> None:
    """Prints how complete integrated gradients are on the photographs."""
    from epochlab.explain import integrate_gradients

    trained = _open(arguments.run)
    pixels, labels, _ = _read_boxes(arguments.photographs, trained)
    chosen = slice(None, None, len(pixels) // arguments.images or 1)
    result = integrate_gradients(trained.keras_model, pixels[chosen], labels[chosen])
    print(
        f"{len(result.error)} photographs: largest error {result.error.max():.3%}, median "
        f"{statistics.median(result.error):.3%}; steps {sorted(result.steps.tolist())}; "
        f"{(result.error <= 0.01).sum()} within 1 %"
    )


def _open(run: Path):
    from epochlab.runs import load_run
    from epochlab.trained_model import load_trained_model

    return load_trained_model(load_run(run))


def _read_boxes(photographs: Path, trained):
    """Returns pixels, labels, and of each input a mask of the box, bool `(n, height, width)`."""
    import numpy as np

    height, width = trained.input_format.image_shape[:2]
    pixels, labels, masks = [], [], []
    with BOXES.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows:
        name = row["file"].partition(".")[0]
        content = (photographs / name / row["file"]).read_bytes()
        pixels.append(trained.input_format.decode(content))
        labels.append(trained.input_format.class_names.index(name))
        left, right = (round(float(row[key]) * width) for key in ("x0", "x1"))
        top, bottom = (round(float(row[key]) * height) for key in ("y0", "y1"))
        mask = np.zeros((height, width), bool)
        mask[top:bottom, left:right] = True
        masks.append(mask)
    return np.stack(pixels), np.array(labels), np.stack(masks)


def _shares(model, pixels, labels, masks):
    """Returns the share of each map within its box, 0..1, NaN where the map is empty."""
    import numpy as np

    from epochlab.explain import compute_gradcam, place_map

    shares = []
    for first in range(0, len(pixels), 8):
        part = slice(first, first + 8)
        for values, mask in zip(
            compute_gradcam(model, pixels[part], labels[part]), masks[part], strict=True
        ):
            placed = place_map(values, mask.shape)
            shares.append(placed[mask].sum() / placed.sum() if placed.sum() > 0 else np.nan)
    return np.array(shares)


def main() -> None:
    """Runs the benchmark that the command line asks for."""
    from epochlab.process import load_tensorflow

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("filters")
    command.add_argument("weights")
    command.add_argument("--scaling", default="unit")
    command.add_argument("--all", action="store_true", help="the layer's other filters, too")
    command.set_defaults(call=excite)
    command = commands.add_parser("activations")
    command.add_argument("run", type=Path)
    command.add_argument("image", type=Path)
    command.set_defaults(call=activate)
    command = commands.add_parser("randomise")
    command.add_argument("run", type=Path)
    command.add_argument("photographs", type=Path)
    command.add_argument("--seeds", type=int, default=5)
    command.set_defaults(call=randomise)
    command = commands.add_parser("complete")
    command.add_argument("run", type=Path)
    command.add_argument("photographs", type=Path)
    command.add_argument("--images", type=int, default=8)
    command.set_defaults(call=complete)
    arguments = parser.parse_args()
    load_tensorflow()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
