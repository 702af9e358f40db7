"""What holds for the whole process: the backend, seeds, determinism, precision."""

import os

from epochlab.quiet import held_back_stderr
from epochlab.training_config import TrainingSettings


def prepare_tensorflow(config: TrainingSettings, seed: int) -> None:
    """Loads TensorFlow and sets what the training asks of the process. Call it first.

    Args:
        config: The `training` section.
        seed: Seed of the run.
    """
    load_tensorflow()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def load_tensorflow() -> None:
    """Loads TensorFlow and Keras on top of it, quietly. Without a training, call this first."""
    # Models, callbacks and batches here are TensorFlow's, whatever a user's keras.json says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back_stderr():
        import keras  # noqa: F401, for its side effects: it picks the backend
        import tensorflow as tf

        tf.config.list_logical_devices()
