"""Hand-written Dense layers on MNIST, trained by a loop of its own instead of `fit`."""

from typing import TYPE_CHECKING

from pydantic import field_validator

from epochlab.data.batches import evaluation_batches, training_batches
from epochlab.data.images import ImageData
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.experiment import run_experiment
from epochlab.history import History
from epochlab.lazy_import import lazy_import
from epochlab.models.custom_dense import CustomDenseConfig, build_custom_dense
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.runs import Run
from epochlab.session import ExperimentConfig, Session
from epochlab.training import (
    compile_classifier,
    count_epoch_steps,
    keep_weights,
    recording,
)
from epochlab.training_config import TrainingConfig

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    tf = lazy_import("tensorflow")


class CustomDenseExperiment(ExperimentConfig):
    """What `configs/custom_dense_mnist.yaml` holds."""

    data: MnistConfig
    model: CustomDenseConfig
    training: TrainingConfig

    @field_validator("data")
    @classmethod
    def _check_data(cls, data: MnistConfig) -> MnistConfig:
        if data.augment is not None:
            raise ValueError("augment: expected null, all that this script's loop knows")
        return data

    @field_validator("training")
    @classmethod
    def _check_training(cls, training: TrainingConfig) -> TrainingConfig:
        if training.devices != "one":
            raise ValueError("devices: expected one, all that this script's loop knows, got all")
        if training.label_smoothing > 0:
            raise ValueError(
                "label_smoothing: expected 0.0, all that this script's loop knows, got "
                f"{training.label_smoothing}"
            )
        return training


def train(session: Session[CustomDenseExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_mnist(config.data)
    model = build_custom_dense(config.model, data.image_shape, data.num_classes, config.seed)
    with session.open_run(data, model, config.training) as run:
        compile_classifier(model, data, config.training, from_logits=True)
        history = run_epochs(model, data, config.training, run, seed=config.seed)
        finish_run(run, model, data, history, config.training, from_logits=True)


def run_epochs(
    model: "keras.Model", data: ImageData, config: TrainingConfig, run: Run, *, seed: int
) -> History:
    """Does by hand what `fit` does: a gradient step per batch, metrics and records per epoch."""
    steps = count_epoch_steps(config, data)
    loss_mean = keras.metrics.Mean()
    accuracy = keras.metrics.SparseCategoricalAccuracy()

    @tf.function(jit_compile=config.jit_compile)
    def train_step(images: "tf.Tensor", labels: "tf.Tensor") -> None:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        loss_mean.update_state(losses)
        accuracy.update_state(labels, logits)

    with recording(model, data, config, run, (loss_mean, accuracy)) as recorder:
        first_epoch, first_step = len(recorder.history), recorder.progress.step
        batches = iter(
            training_batches(
                data.train,
                batch_size=config.batch_size,
                seed=seed,
                first_step=first_epoch * steps + first_step,
            )
        )
        callbacks = keras.callbacks.CallbackList(
            [recorder],
            model=model,
            add_progbar=recorder.on_terminal,
            verbose=1,
            epochs=config.epochs,
            steps=steps,
        )
        callbacks.on_train_begin()
        for epoch in range(first_epoch, config.epochs):
            if recorder.is_complete:
                break
            loss_mean.reset_state()
            accuracy.reset_state()
            callbacks.on_epoch_begin(epoch)
            logs = {}
            for step in range(steps - recorder.first_step):
                callbacks.on_train_batch_begin(step)
                train_step(*next(batches))
                logs = {"loss": float(loss_mean.result()), "accuracy": float(accuracy.result())}
                callbacks.on_train_batch_end(step, logs)
            if data.validation is not None:
                scores = model.evaluate(
                    evaluation_batches(data.validation), verbose=0, return_dict=True
                )
                logs |= {f"val_{name}": score for name, score in scores.items()}
            callbacks.on_epoch_end(epoch, logs)
        callbacks.on_train_end()
    keep_weights(model, config, run)
    return recorder.history


if __name__ == "__main__":
    run_experiment(train, CustomDenseExperiment)
