"""What holds for the whole process: the backend, seeds, determinism, precision."""

import os

from epochlab.devices import use_all_devices
from epochlab.quiet import held_back_stderr
from epochlab.training_config import TrainingSettings

# With one of these TensorFlow 2.21 uses oneDNN by itself (`IsMKLEnabled` in its `util.cc`).
ONEDNN_BY_DEFAULT = {
    "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
}  # fmt: skip


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
    choose_kernels()
    with held_back_stderr():
        import keras  # noqa: F401, for its side effects: it picks the backend
        import tensorflow as tf

        if threads is not None:
            # Only before TensorFlow starts, which the next line makes it do.
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()


def choose_kernels() -> None:
    """Has TensorFlow, before it is loaded, use oneDNN's kernels on every CPU with AVX2.

    By itself it does so only on newer ones; on the others its own kernels take up to twice as long,
    and cannot train channels-first networks. What a user has chosen stands.
    """
    from epochlab.environment import list_cpu_flags  # slow to load, so only when needed

    flags = set(list_cpu_flags())
    if "avx2" in flags and not flags & ONEDNN_BY_DEFAULT:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
