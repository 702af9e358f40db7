"""The pictures of a training in its run folder."""

import contextlib
from collections.abc import Iterator

from epochlab.checkpoint_file import Progress
from epochlab.data.augment import AugmentConfig
from epochlab.data.batches import augmented_examples
from epochlab.data.images import ImageData
from epochlab.errors import EnvironmentFault
from epochlab.history import find_best_epoch, find_overfitting
from epochlab.plots import plot_augmentation, plot_curve
from epochlab.runs import Run

SHOWN_PASSES = 16


def draw_augmentation(run: Run, data: ImageData, augment: AugmentConfig, *, seed: int) -> None:
    """Draws `augmentation.png`: the first training image, and what 16 passes make of it."""
    original, changed = augmented_examples(data.train, augment, seed=seed, passes=SHOWN_PASSES)
    plot_augmentation(
        run.path / "augmentation.png",
        original,
        changed,
        title=f"{data.train.names[0]} in passes 1 to {len(changed)}",
        provenance=run.provenance(None),
    )


@contextlib.contextmanager
def drawing_curves(run: Run, progress: Progress) -> Iterator[None]:
    """Draws the curves once the block ends, however it ends."""
    try:
        yield
    except BaseException:
        # What went wrong in the block is what there is to say, a full disk, for example.
        with contextlib.suppress(OSError, EnvironmentFault):
            _draw_curves(run, progress)
        raise
    _draw_curves(run, progress)


def _draw_curves(run: Run, progress: Progress) -> None:
    """Draws `accuracy.png` and `loss.png`, if there is an epoch to draw."""
    history = progress.history
    if not history:
        return
    best_epoch = find_best_epoch(history)
    provenance = run.provenance(best_epoch)
    for metric in ("accuracy", "loss"):
        validation = [getattr(row, f"val_{metric}") for row in history]
        plot_curve(
            run.path / f"{metric}.png",
            metric,
            [getattr(row, metric) for row in history],
            None if None in validation else validation,
            best_epoch=best_epoch,
            overfitting=find_overfitting(history),
            phase_starts=progress.phase_starts,
            title=f"{run.experiment}, {run.name}",
            provenance=provenance,
        )
