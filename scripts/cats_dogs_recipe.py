"""Cats against dogs from scratch: a small Xception on 2,000 augmented photographs."""

from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.experiment import run_experiment
from epochlab.models.small_xception import SmallXceptionConfig, build_small_xception
from epochlab.process import prepare_tensorflow
from epochlab.results import finish_run
from epochlab.session import ExperimentConfig, Session
from epochlab.training import compile_classifier, fit
from epochlab.training_config import TrainingConfig


class CatsDogsRecipe(ExperimentConfig):
    """What `configs/recipes/cats_dogs_recipe.yaml` holds."""

    data: DirectoryConfig
    model: SmallXceptionConfig
    training: TrainingConfig


def train(session: Session[CatsDogsRecipe]) -> None:
    """From the config to a finished run."""
    config = session.config
    prepare_tensorflow(config.training, config.seed)
    data = load_directory(config.data)
    model = build_small_xception(config.model, data.image_shape, data.num_classes, config.seed)
    with session.open_run(data, model, config.training) as run:
        compile_classifier(model, data, config.training)
        history = fit(
            model, data, config.training, run, seed=config.seed, augment=config.data.augment
        )
        finish_run(run, model, data, history, config.training)


if __name__ == "__main__":
    run_experiment(train, CatsDogsRecipe)
