"""A whole epoch of cats against dogs, validation included, beside the article's own flow.

Each round runs, each in a process of its own: the script in float32, the script in
`mixed_bfloat16`, and what the article does: `ImageDataGenerator.flow_from_directory` into
`fit` of the same network compiled as Keras does it by default. The first epoch of each process,
which traces, compiles and fills our cache, is left out. Quote the ratios: the machine's speed
drifts, and the parts of a round are close in time. `--waiting` tells instead what share of an
epoch the training step waits for its next batch.

    python benchmarks/cats_dogs_epoch.py data/cats_dogs --rounds 3
    python benchmarks/cats_dogs_epoch.py data/cats_dogs --waiting
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from timing import epoch_clock, load_experiment, median_and_range, time_other, time_script

EXPERIMENTS = ("cats_dogs_baseline", "cats_dogs_augmented")


def run_article(experiment: str, data: Path, epochs: int) -> None:
    """Trains as the article does and prints the seconds of each epoch but the first."""
    from article_networks import build_for_photographs
    from articles import fit_photographs

    _, config = load_experiment(experiment, [f"data.path={data}"])
    augment = config.data.augment
    seconds: list[float] = []
    fit_photographs(
        build_for_photographs(experiment, weights=None),
        data,
        epochs=epochs,
        batch_size=config.training.batch_size,
        steps=config.training.steps_per_epoch,
        augment={} if augment is None else augment.model_dump(),
        callbacks=[epoch_clock(seconds)],
        verbose=0,
    )
    print(json.dumps(seconds[1:]))


def measure_waiting(experiment: str, data: Path) -> float:
    """Returns the share of an epoch's training, 0..1, in which the step waits for a batch."""
    from epochlab.data.batches import training_batches
    from epochlab.data.directory import load_directory
    from epochlab.models.convnet import build_convnet
    from epochlab.process import prepare_tensorflow
    from epochlab.training import compile_classifier, count_epoch_steps

    _, config = load_experiment(experiment, [f"data.path={data}"])
    prepare_tensorflow(config.training, config.seed)
    images = load_directory(config.data)
    model = build_convnet(config.model, images.image_shape, images.num_classes, config.seed)
    compile_classifier(model, images, config.training)
    batches = iter(
        training_batches(
            images.train,
            batch_size=config.training.batch_size,
            seed=config.seed,
            augment=config.data.augment,
        )
    )
    for _ in range(5):
        model.train_on_batch(*next(batches))
    waited, started = 0.0, time.perf_counter()
    for _ in range(count_epoch_steps(config.training, images)):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        model.train_on_batch(*batch)
    return waited / (time.perf_counter() - started)


def main() -> None:
    """Prints one table row per experiment: seconds of an epoch on each side, and both ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="a prepared folder")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="per process, the first not counted")
    parser.add_argument("--waiting", action="store_true")
    parser.add_argument("--article", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = arguments.data.absolute()
    if arguments.article:
        run_article(arguments.article[0], data, int(arguments.article[1]))
        return
    experiments = arguments.experiments or EXPERIMENTS
    if arguments.waiting:
        for experiment in experiments:
            print(f"{experiment}: waits for data {measure_waiting(experiment, data):.1%}")
        return
    print("| experiment | article, s | float32, s | ratio | mixed_bfloat16, s | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for experiment in experiments:
        rounds: list[list[float]] = []
        for _ in range(arguments.rounds):
            sides = [
                time_other(__file__, str(data), "--article", experiment, str(arguments.epochs))
            ]
            for precision in ("float32", "mixed_bfloat16"):
                settings = (
                    f"data.path={data}",
                    f"training.epochs={arguments.epochs}",
                    f"training.precision={precision}",
                )
                sides.append(time_script(experiment, settings))
            rounds.append([statistics.median(seconds) for seconds in sides])
        article, *ours = ([round_[side] for round_ in rounds] for side in range(3))
        cells = [f"{statistics.median(article):.1f}"]
        for side in ours:
            ratios = [slow / fast for slow, fast in zip(article, side, strict=True)]
            cells.append(f"{statistics.median(side):.1f}")
            cells.append(median_and_range(ratios))
        print(f"| {experiment} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
