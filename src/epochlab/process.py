"""What holds for the whole process: the backend, seeds, determinism, precision."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from epochlab.training_config import TrainingConfig


def prepare_tensorflow(config: TrainingConfig, seed: int) -> None:
    """Loads TensorFlow and sets what the training asks of the process. Call it first.

    Args:
        config: The `training` section.
        seed: Seed of the run.
    """
    # Models, callbacks and batches here are TensorFlow's, whatever a user's keras.json says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _held_back_stderr():
        import keras
        import tensorflow as tf

        tf.config.list_logical_devices()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Keeps what the process writes to stderr, C++ included, unless the block fails.

    TensorFlow says on every start, at no log level to be silenced, that oneDNN is on and that there
    is no GPU. `environment.json` records both.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
