"""Compile, fit: from an untrained model to a trained one, recorded epoch by epoch."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from epochlab.checkpoint import Checkpoint, read_newest, restore_best
from epochlab.data.augment import AugmentConfig
from epochlab.data.batches import (
    count_steps,
    data_errors,
    evaluation_batches,
    training_batches,
)
from epochlab.data.images import ImageData
from epochlab.devices import count_parts, split_training
from epochlab.errors import ConfigError
from epochlab.fused_normalization import fuse_normalization
from epochlab.fused_updates import fuse_updates
from epochlab.history import Epoch
from epochlab.losses import build_loss
from epochlab.optimizers import build_optimizer
from epochlab.run_pictures import draw_augmentation, drawing_curves
from epochlab.runs import Run
from epochlab.session_records import begin_at
from epochlab.stop_request import stop_requests
from epochlab.trackers import tracking
from epochlab.training_config import TrainingConfig, TrainingSettings

if TYPE_CHECKING:
    import keras

    from epochlab.callbacks import EpochRecorder

# Beyond this many steps per call into TensorFlow nothing more is gained, and Ctrl-C waits longer.
MAXIMUM_STEPS_PER_EXECUTION = 50
# The same for large images, of which a single step takes long enough.
PIXELS_PER_EXECUTION = 5 * 2**20


def check_validation(config: TrainingSettings, data: ImageData) -> None:
    """Refuses a config that watches validation images when there are none.

    Raises:
        ConfigError: If `training.keep` or `training.early_stopping` needs validation images.
    """
    if data.validation is not None:
        return
    for key, needed in (
        ("training.keep: best", config.keep == "best"),
        ("training.early_stopping", config.early_stopping is not None),
    ):
        if needed:
            raise ConfigError(
                f"{key}: watches the validation loss, and there are no validation images; give "
                "data.validation_fraction above 0, or do without it"
            )


def compile_classifier(
    model: "keras.Model", data: ImageData, config: TrainingConfig, *, from_logits: bool = False
) -> None:
    """Compiles `model` for integer labels: cross-entropy, accuracy, the config's optimizer.

    Args:
        model: A model with one output per class, or with a single sigmoid for two classes.
        data: The images, whose number decides how many steps the learning rate has to fall.
        config: The `training` section, or what it is for a phase.
        from_logits: Whether the model ends in logits instead of probabilities.
    """
    steps = config.epochs * count_epoch_steps(config, data)
    model.compile(
        optimizer=build_optimizer(
            config.optimizer, cosine_steps=steps if config.schedule == "cosine" else None
        ),
        loss=build_loss(
            model.output_shape[-1],
            from_logits=from_logits,
            label_smoothing=config.label_smoothing,
        ),
        metrics=["accuracy"],
        jit_compile=config.jit_compile,
    )
    model.optimizer.build(model.trainable_variables)
    if not config.jit_compile:  # XLA fuses by itself
        fuse_updates(model.optimizer)
        fuse_normalization(model)
    split_training(model)


def count_epoch_steps(config: TrainingSettings, data: ImageData) -> int:
    """Returns the steps of one epoch: what `config` asks for, or one pass over the images."""
    return config.steps_per_epoch or count_steps(len(data.train), config.batch_size)


def fit(
    model: "keras.Model",
    data: ImageData,
    config: TrainingConfig,
    run: Run,
    *,
    seed: int,
    augment: AugmentConfig | None = None,
) -> list[Epoch]:
    """Trains `model` with `keras.Model.fit`, from the run's newest checkpoint if it has one.

    Args:
        model: The compiled model. It is trained in place and ends with the weights that
            `config.keep` asks for.
        data: The images; validation is watched if there is any.
        config: The `training` section.
        run: The run to record in: `history.csv`, checkpoints and curves, the curves also when
            training is interrupted.
        seed: Seed of the run.
        augment: How training images are changed in each pass, or None. `augmentation.png` shows
            it on one image.

    Returns:
        The history, one entry per epoch.

    Raises:
        DataError: If an image file changed or went away during training.
        DivergedError: If the loss is not finite.
        RunError: If the run's checkpoints cannot be used.
    """
    if augment is not None:
        draw_augmentation(run, data, augment, seed=seed)
    with recording(model, data, config, run) as recorder:
        run_epochs(model, data, config, recorder, seed=seed, augment=augment)
    keep_weights(model, config, run)
    return recorder.history


def run_epochs(
    model: "keras.Model",
    data: ImageData,
    config: TrainingConfig,
    recorder: "EpochRecorder",
    *,
    seed: int,
    augment: AugmentConfig | None = None,
) -> None:
    """Calls `keras.Model.fit` for what is left of a phase; arguments as for `fit`."""
    steps = count_epoch_steps(config, data)
    if count_parts() == 1:  # with more, Keras 3.15 can take only one step at a time
        model.steps_per_execution = choose_steps_per_execution(
            steps, math.prod(data.image_shape[:2]) * config.batch_size
        )
    while not recorder.is_complete:
        done, step = len(recorder.history), recorder.progress.step
        with data_errors(data.train, data.validation):
            model.fit(
                training_batches(
                    data.train,
                    batch_size=config.batch_size,
                    seed=seed,
                    first_step=done * steps + step,
                    augment=augment,
                ),
                initial_epoch=done,
                # The rest of an epoch that was begun is a call of its own.
                epochs=done + 1 if step else recorder.last_epoch,
                steps_per_epoch=steps - step,
                shuffle=False,  # training_batches has shuffled
                validation_data=data.validation and evaluation_batches(data.validation),
                class_weight=data.class_weights,
                callbacks=[recorder],
                verbose=1 if recorder.on_terminal else 0,
            )


@contextlib.contextmanager
def recording(
    model: "keras.Model",
    data: ImageData,
    config: TrainingConfig,
    run: Run,
    metrics: "Sequence[keras.Metric] | None" = None,
) -> "Iterator[EpochRecorder]":
    """Gives the callback that records `run`, with `model` set back to the newest checkpoint.

    A script with a training loop of its own trains in this block, and calls `keep_weights` after
    it, as `fit` does. The curves are drawn however the block ends.

    Args:
        model: The compiled model.
        data: The images.
        config: The `training` section.
        run: The run to record in.
        metrics: What gives an epoch's means, or None for the model's own metrics.
    """
    checkpoint = read_newest(run.checkpoints)
    checkpoint.restore(model)
    progress = checkpoint.progress
    progress.phase_starts = progress.phase_starts or [1]
    begin_at(run, progress.place)
    with (
        drawing_curves(run, progress),
        recording_after(checkpoint, data, config, run, metrics) as recorder,
    ):
        yield recorder


@contextlib.contextmanager
def recording_after(
    checkpoint: Checkpoint,
    data: ImageData,
    config: TrainingConfig,
    run: Run,
    metrics: "Sequence[keras.Metric] | None" = None,
) -> "Iterator[EpochRecorder]":
    """Gives the callback that records what comes after `checkpoint`; arguments as for `recording`.

    In the block a signal to stop is taken between steps.
    """
    from epochlab.callbacks import EpochRecorder, Stopped  # loads Keras, so only once it is needed

    steps = count_epoch_steps(config, data)
    with stop_requests() as request, tracking(run, config) as trackers:
        recorder = EpochRecorder(
            run, config, checkpoint.progress, steps, request, trackers, metrics
        )
        recorder.catch_up(checkpoint)
        yield recorder
        if request.signal_name is not None:  # it came in the last epoch, after its last step
            raise Stopped(f"{request.signal_name} at {checkpoint.progress.place}")


def choose_steps_per_execution(steps: int, pixels_per_step: int) -> int:
    """Returns how many of an epoch's `steps` run per call into TensorFlow.

    The largest divisor that is not too large: with any other number Keras would carry steps of the
    next epoch into this one.

    Args:
        steps: Steps of one epoch.
        pixels_per_step: Height times width times batch size.
    """
    most = max(1, min(MAXIMUM_STEPS_PER_EXECUTION, PIXELS_PER_EXECUTION // pixels_per_step))
    return max(count for count in range(1, most + 1) if steps % count == 0)


def keep_weights(model: "keras.Model", config: TrainingSettings, run: Run, phase: int = 1) -> None:
    """Gives `model` the weights of a phase that `config.keep` asks for: the last or the best."""
    if config.keep == "best":
        restore_best(run.checkpoints, model, phase)
