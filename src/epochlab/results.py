"""The end of a run: score the test set, save the model, and write `metrics.json` last of all."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.checkpoint import read_best_epoch
from epochlab.data.batches import count_images
from epochlab.data.images import ImageData
from epochlab.environment import peak_memory_bytes
from epochlab.errors import RunError
from epochlab.evaluation import Evaluation, evaluate, record_evaluation
from epochlab.files import replace_file
from epochlab.hashing import weights_sha256
from epochlab.history import History, find_best_epoch
from epochlab.lazy_import import lazy_import
from epochlab.runs import Run
from epochlab.session_records import end_session, list_accepted
from epochlab.trackers import track_result
from epochlab.training import count_epoch_steps
from epochlab.training_config import TrainingSettings

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    keras = lazy_import("keras")
    np = lazy_import("numpy")

# A saved model is tried on this many images before it counts as saved.
PROBES = 64
TOLERANCE = 1e-6


def finish_run(
    run: Run,
    model: "keras.Model",
    data: ImageData,
    history: History,
    config: TrainingSettings,
    *,
    from_logits: bool = False,
    evaluation: Evaluation | None = None,
) -> None:
    """Scores `model` on the test images, records everything and marks `run` as finished.

    Args:
        run: The run to finish.
        model: The trained model.
        data: The images it was trained on; its test images are scored here and nowhere else.
        history: The epochs of the training.
        config: The `training` section.
        from_logits: Whether the model ends in logits instead of probabilities.
        evaluation: The scores of the test images, if they have been made from features.

    Raises:
        RunError: If the saved model, loaded again, gives other predictions.
    """
    best_epoch = find_best_epoch(history)
    if evaluation is None:
        evaluation = evaluate(model, data.test, from_logits=from_logits)
    record_evaluation(run, evaluation, data.test, data.class_names, run.provenance(best_epoch))
    sha256 = weights_sha256(model)
    parameters = {
        "total": model.count_params(),
        "trainable": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }
    save_model(run.path / "model.h5", model, data.test.images[:PROBES])
    best_kept = read_best_epoch(run.checkpoints) if config.keep == "best" else None
    train_seconds = sum(row.seconds for row in history)
    steps = len(history) * count_epoch_steps(config, data)
    images = count_images(len(data.train), config.batch_size, steps)
    metrics = {
        "test": {"loss": evaluation.loss, "accuracy": evaluation.accuracy},
        "class_accuracy": dict(zip(data.class_names, evaluation.class_accuracy, strict=True)),
        "epochs": len(history),
        "best_epoch": best_epoch,
        "kept_epoch": best_kept or len(history),
        "train_seconds": round(train_seconds, 3),
        "images_per_second": round(images / train_seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "parameters": parameters,
        "weights_sha256": sha256,
    }
    track_result(run, config, history, metrics)
    end_session(run, "finished")
    run.write_json("metrics.json", metrics)
    changes = list_accepted(run)
    if changes:
        print("with changes on the way, so not bit-identical to a run without a break:")
        print("\n".join(f"  {change}" for change in changes))
    print(f"test accuracy {evaluation.accuracy:.4f}, test loss {evaluation.loss:.4f}")


def save_model(path: Path, model: "keras.Model", probes: "np.ndarray") -> None:
    """Saves `model` as `.h5` and makes sure that the file gives the same predictions.

    Call it last: writing an `.h5` takes the optimizer out of the live model's compile config.

    Args:
        path: The file to write, ending in `.h5`.
        model: The model to save.
        probes: Raw pixels to compare the two models on, uint8 `(n, height, width, channels)`.

    Raises:
        RunError: If the model that `keras.models.load_model` returns predicts otherwise.
    """
    image = _h5_image(model)
    with replace_file(path, size=len(image)) as beside, _quiet_keras():
        beside.write_bytes(image)
        loaded = keras.models.load_model(beside)
        loaded.jit_compile = model.jit_compile  # which a model that is not compiled does not save
        difference = np.abs(
            np.asarray(model.predict_on_batch(probes)) - np.asarray(loaded.predict_on_batch(probes))
        ).max()
        if not difference <= TOLERANCE:
            raise RunError(
                f"{path}: the saved model's outputs differ from the trained model's by "
                f"{difference:.3g}, more than {TOLERANCE}; the file was not kept; please report it"
            )


def _h5_image(model: "keras.Model") -> bytes:
    """Returns the bytes of the file that `model.save` would write.

    In memory first, because HDF5 takes the whole process down when a disk is full as it closes a
    file.
    """
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

    with (
        _quiet_keras(),
        h5py.File("model.h5", "w", driver="core", backing_store=False) as opened,
    ):
        save_model_to_hdf5(model, opened)
        opened.flush()
        return opened.id.get_file_image()


@contextlib.contextmanager
def _quiet_keras() -> Iterator[None]:
    """Silences the warning that `.h5` is an old format: it is the one that our users ask for."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
