"""What holds for the whole process: the backend, seeds, determinism, precision."""

import os

from epochlab.devices import use_all_devices
from epochlab.quiet import held_back_stderr
from epochlab.training_config import TrainingSettings


def prepare_tensorflow(config: TrainingSettings, seed: int) -> None:
    """Loads TensorFlow and sets what the training asks of the process. Call it first.

    Args:
        config: The `training` section.
        seed: Seed of the run.
    """
    load_tensorflow(config.threads)
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    if config.devices == "all":
        use_all_devices()


def load_tensorflow(threads: int | None = None) -> None:
    """Loads TensorFlow and Keras on top of it, quietly. Without a training, call this first.

    Args:
        threads: Threads within an operation, and as many between them; None: one per CPU.
    """
    # Models, callbacks and batches here are TensorFlow's, whatever a user's keras.json says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with held_back_stderr():
        import keras  # noqa: F401, for its side effects: it picks the backend
        import tensorflow as tf

        if threads is not None:
            # Only before TensorFlow starts, which the next line makes it do.
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()
