"""Cats against dogs: a frozen VGG16 inside the model, on augmented photographs."""

from typing import Annotated

from pydantic import Field

from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.experiment import run_experiment
from epochlab.features import FeaturesConfig
from epochlab.models.transfer import TransferConfig, build_transfer_model
from epochlab.phases import TransferTraining, check_phases
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training_config import PhaseConfig, TrainingSettings


class TransferExperiment(ExperimentConfig):
    """What `configs/cats_dogs_vgg16_frozen.yaml` holds."""

    data: DirectoryConfig
    model: TransferConfig
    features: FeaturesConfig
    phases: Annotated[tuple[PhaseConfig, ...], Field(min_length=1)]
    training: TrainingSettings


def train(session: Session[TransferExperiment]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_directory(config.data)
    parts = build_transfer_model(config.model, data.image_shape, data.num_classes, config.seed)
    check_phases(parts, config.phases)
    training = TransferTraining(
        parts,
        data,
        config.model,
        config.features,
        config.training,
        config.data.augment,
        config.seed,
    )
    with session.open_run(data, parts.whole, config.training) as run:
        trained = training.run(config.phases, run)
        finish_run(
            run, parts.whole, data, trained.history, config.training, evaluation=trained.score()
        )


if __name__ == "__main__":
    run_experiment(train, TransferExperiment)
