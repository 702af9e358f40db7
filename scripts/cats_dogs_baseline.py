"""Cats against dogs from scratch: a small convnet on 2,000 photographs."""

from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.experiment import run_experiment
from epochlab.models.convnet import ConvNetConfig, build_convnet
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training import compile_classifier, fit
from epochlab.training_config import TrainingConfig


class CatsDogsExperiment(ExperimentConfig):
    """What `configs/cats_dogs_baseline.yaml` holds."""

    data: DirectoryConfig
    model: ConvNetConfig
    training: TrainingConfig


def train(session: Session[CatsDogsExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_directory(config.data)
    model = build_convnet(config.model, data.image_shape, data.num_classes, config.seed)
    with session.open_run(data, model, config.training) as run:
        compile_classifier(model, data, config.training)
        history = fit(
            model, data, config.training, run, seed=config.seed, augment=config.data.augment
        )
        finish_run(run, model, data, history, config.training)


if __name__ == "__main__":
    run_experiment(train, CatsDogsExperiment)
