"""LeNet on MNIST."""

from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.experiment import run_experiment
from epochlab.models.lenet import LeNetConfig, build_lenet
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training import compile_classifier, fit
from epochlab.training_config import TrainingConfig


class LeNetExperiment(ExperimentConfig):
    """What `configs/lenet_mnist.yaml` holds."""

    data: MnistConfig
    model: LeNetConfig
    training: TrainingConfig


def train(session: Session[LeNetExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_mnist(config.data)
    model = build_lenet(config.model, data.image_shape, data.num_classes, config.seed)
    with session.open_run(data, model, config.training) as run:
        compile_classifier(model, data, config.training)
        history = fit(
            model, data, config.training, run, seed=config.seed, augment=config.data.augment
        )
        finish_run(run, model, data, history, config.training)


if __name__ == "__main__":
    run_experiment(train, LeNetExperiment)
