"""A transfer network trained phase by phase, each on as little of the network as it changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochlab.checkpoint import read_newest
from epochlab.data.augment import AugmentConfig
from epochlab.data.images import ImageData
from epochlab.errors import ConfigError, RunError
from epochlab.evaluation import Evaluation, evaluate
from epochlab.features import FeaturesConfig, compute_features, save_parts
from epochlab.history import Epoch
from epochlab.lazy_import import lazy_import
from epochlab.models.freezing import last_frozen_layer, set_trainable, split_at
from epochlab.models.transfer import TransferConfig, TransferModel, build_transfer_model
from epochlab.run_pictures import draw_augmentation, drawing_curves
from epochlab.runs import Run
from epochlab.session_records import begin_at
from epochlab.training import (
    compile_classifier,
    keep_weights,
    recording_after,
    run_epochs,
)
from epochlab.training_config import PhaseConfig, TrainingSettings

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

BACKBONE = "backbone.json"


@dataclass(frozen=True, eq=False)
class Trained:
    """What the last phase leaves.

    Attributes:
        history: All epochs of all phases.
        model: What the last phase trained: the network above its last frozen layer, or the whole.
        data: What that model takes: features, or the images themselves.
    """

    history: list[Epoch]
    model: "keras.Model"
    data: ImageData

    def score(self) -> Evaluation:
        """Scores the test images."""
        return evaluate(self.model, self.data.test)


@dataclass(frozen=True, eq=False)
class TransferTraining:
    """All that the phases of one run share.

    Attributes:
        parts: The network.
        data: The images.
        model_config: The `model` section.
        features: The `features` section.
        phases: The `phases` section.
        settings: The `training` section.
        augment: How training images are changed, or None.
        seed: Seed of the run.
    """

    parts: TransferModel
    data: ImageData
    model_config: TransferConfig
    features: FeaturesConfig
    phases: Sequence[PhaseConfig]
    settings: TrainingSettings
    augment: AugmentConfig | None
    seed: int

    @property
    def is_cached(self) -> bool:
        """Whether the frozen layers' input never changes, so that their output can be kept."""
        return self.augment is None or self.features.variants is not None

    def run(self, run: Run) -> Trained:
        """Trains phase after phase, from the run's newest checkpoint if it has one.

        Each phase compiles anew. Where the frozen layers' input cannot change, they run once over
        each image and the phase trains what lies above the last of them; that cut never moves up
        again, so that a checkpoint holds all that has changed.

        Args:
            run: The run to record in.

        Raises:
            DataError: If an image file changed or went away during training.
            DivergedError: If the loss is not finite.
            RunError: If the run's checkpoints cannot be used.
        """
        self._record_backbone(run)
        checkpoint = read_newest(run.checkpoints)
        progress = checkpoint.progress
        starts = progress.phase_starts
        begun = len(starts)
        model, data = self.parts.whole, self.data
        if self.augment is not None:
            draw_augmentation(run, self.data, self.augment, seed=self.seed)
        with drawing_curves(run, progress):
            for number, phase in enumerate(self.phases, 1):
                if number < begun:
                    continue
                config = phase.of(self.settings)
                model, data = self._prepare(self.phases[:number])
                compile_classifier(model, data, config)
                if number == begun:
                    checkpoint.restore(model)
                else:
                    starts.append(len(progress.history) + 1)
                if number == max(begun, 1):
                    begin_at(run, progress.place)
                augment = self.augment if data is self.data else None
                with recording_after(checkpoint, data, config, run) as recorder:
                    run_epochs(model, data, config, recorder, seed=self.seed, augment=augment)
                keep_weights(model, config, run, number)
        if self.features.save_parts and data is not self.data:
            save_parts(run.path, data, model)
        return Trained(progress.history, model, data)

    def _record_backbone(self, run: Run) -> None:
        """Writes `backbone.json`, or makes sure that the weights are those the run began with."""
        record = {
            "backbone": self.model_config.backbone,
            "weights": self.model_config.weights,
            "sha256": self.parts.backbone_sha256,
            "notes": list(self.parts.notes),
        }
        if not (run.path / BACKBONE).is_file():
            run.write_json(BACKBONE, record)
        elif run.read_json(BACKBONE).get("sha256") != record["sha256"]:
            raise RunError(
                f"{run.path}: model.weights: {record['weights']} are not the weights that the run "
                f"began with: by {BACKBONE} their SHA-256 was "
                f"{run.read_json(BACKBONE).get('sha256')}, now it is {record['sha256']}; bring the "
                "old file back, or start a new run"
            )

    def _prepare(self, phases: Sequence[PhaseConfig]) -> "tuple[keras.Model, ImageData]":
        """Returns what the last of `phases` trains, and on what."""
        cut = self._cut(phases)
        set_trainable(self.parts, phases[-1].trainable)
        if cut is None or not self.is_cached:
            return self.parts.whole, self.data
        _, top = split_at(self.parts, cut)
        features = compute_features(
            self._frozen_part(cut),
            self.data,
            self.features,
            identity=self._identity(cut),
            augment=self.augment,
            seed=self.seed,
        )
        return top, features

    def _cut(self, phases: Sequence[PhaseConfig]) -> str | None:
        """Returns the layer below which none of `phases` has trained anything."""
        names = [layer.name for layer in self.parts.backbone.layers]
        cuts = [last_frozen_layer(self.parts, phase.trainable) for phase in phases]
        if None in cuts:
            return None
        return min((cut for cut in cuts if cut is not None), key=names.index)

    def _frozen_part(self, cut: str) -> "keras.Model":
        """Returns the layers up to `cut`, computing in the precision of the features."""
        if self.features.precision == self.settings.precision:
            return split_at(self.parts, cut)[0]
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.features.precision)
        try:
            image_shape = self.data.image_shape
            twin = build_transfer_model(
                self.model_config, image_shape, self.data.num_classes, self.seed
            )
        finally:
            keras.config.set_dtype_policy(policy)
        return split_at(twin, cut)[0]

    def _identity(self, cut: str) -> str:
        """Returns, for a person too, what the layers up to `cut` are."""
        config = self.model_config
        size = "x".join(map(str, config.image_size or self.data.image_shape[:2]))
        return f"{config.backbone} up to {cut}, {size}, scaling {config.scaling}"


def prepare_transfer(
    data: ImageData,
    model_config: TransferConfig,
    features: FeaturesConfig,
    phases: Sequence[PhaseConfig],
    settings: TrainingSettings,
    *,
    augment: AugmentConfig | None,
    seed: int,
) -> TransferTraining:
    """Builds the network, checks the phases on it, and freezes what the first one freezes.

    Raises:
        ConfigError: If the images do not fit the backbone, or phases name layers that do not exist:
            each such phase and what is wrong with it.
        RunError: If the weights file is missing, damaged or of another network.
        EnvironmentFault: If ImageNet's weights cannot be had.
    """
    parts = build_transfer_model(model_config, data.image_shape, data.num_classes, seed)
    _check_phases(parts, phases)
    set_trainable(parts, phases[0].trainable)
    parts.whole.jit_compile = False  # no one compiles it where features are cached
    return TransferTraining(parts, data, model_config, features, phases, settings, augment, seed)


def _check_phases(parts: TransferModel, phases: Sequence[PhaseConfig]) -> None:
    problems = []
    for position, phase in enumerate(phases):
        try:
            last_frozen_layer(parts, phase.trainable)
        except ConfigError as error:
            problems.append(f"phases.{position}.{error}")
    if problems:
        raise ConfigError("\n".join(problems))
