"""A frozen VGG16 on MNIST's digits, made larger."""

from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.experiment import run_experiment
from epochlab.features import FeaturesConfig
from epochlab.models.transfer import TransferConfig
from epochlab.phases import prepare_transfer
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training_config import Phases, TrainingSettings


class TransferExperiment(ExperimentConfig):
    """What `configs/vgg16_mnist.yaml` holds."""

    data: MnistConfig
    model: TransferConfig
    features: FeaturesConfig
    phases: Phases
    training: TrainingSettings


def train(session: Session[TransferExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_mnist(config.data)
    training = prepare_transfer(
        data,
        config.model,
        config.features,
        config.phases,
        config.training,
        augment=config.data.augment,
        seed=config.seed,
    )
    whole = training.parts.whole
    with session.open_run(data, whole, config.training) as run:
        trained = training.run(run)
        finish_run(run, whole, data, trained.history, config.training, evaluation=trained.score())


if __name__ == "__main__":
    run_experiment(train, TransferExperiment)
