"""A multilayer perceptron of three tanh layers on raw MNIST pixels."""

from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.experiment import run_experiment
from epochlab.models.mlp import MLPConfig, build_mlp
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training import compile_classifier, fit
from epochlab.training_config import TrainingConfig


class TanhExperiment(ExperimentConfig):
    """What `configs/mlp_mnist_tanh.yaml` holds."""

    data: MnistConfig
    model: MLPConfig
    training: TrainingConfig


def train(session: Session[TanhExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_mnist(config.data)
    model = build_mlp(config.model, data.image_shape, data.num_classes, config.seed)
    with session.open_run(data, model, config.training) as run:
        compile_classifier(model, data, config.training)
        history = fit(
            model, data, config.training, run, seed=config.seed, augment=config.data.augment
        )
        finish_run(run, model, data, history, config.training)


if __name__ == "__main__":
    run_experiment(train, TanhExperiment)
