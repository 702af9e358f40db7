"""The test set, scored once: figures, confusion matrix, worst mistakes, every prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.csv_text import format_csv
from epochlab.data.batches import data_errors, evaluation_batches
from epochlab.data.images import Split
from epochlab.files import write_text
from epochlab.lazy_import import lazy_import
from epochlab.plots import plot_confusion, plot_mistakes
from epochlab.runs import Run

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    keras = lazy_import("keras")
    np = lazy_import("numpy")

SHOWN_MISTAKES = 25


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model does on one split of n images.

    Attributes:
        probabilities: Of each class, float64 `(n, num_classes)`, 0..1.
        labels: The true classes, int32 `(n,)`.
    """

    probabilities: "np.ndarray"
    labels: "np.ndarray"

    @property
    def predicted(self) -> "np.ndarray":
        """The most probable class of each image, int64 `(n,)`."""
        return self.probabilities.argmax(axis=1)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, probabilities clipped at 1e-7 as Keras clips them.

        It is the plain one, whatever `training.label_smoothing` says, so that runs with and without
        it can be compared; `val_loss` in the history is the smoothed one.
        """
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.clip(true, 1e-7, 1 - 1e-7)).mean())

    @property
    def accuracy(self) -> float:
        """Share of the images whose most probable class is the true one, 0..1."""
        return float((self.predicted == self.labels).mean())

    @property
    def confusion(self) -> "np.ndarray":
        """Counts, int64 `(num_classes, num_classes)`: row = truth, column = prediction."""
        num_classes = self.probabilities.shape[1]
        cells = self.labels.astype(np.int64) * num_classes + self.predicted
        return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)

    @property
    def class_accuracy(self) -> list[float | None]:
        """Accuracy within each true class, 0..1; None for a class without images."""
        counts = self.confusion.sum(axis=1)
        right = np.diag(self.confusion)
        return [
            float(hits / count) if count else None
            for hits, count in zip(right, counts, strict=True)
        ]


def evaluate(model: "keras.Model", split: Split, *, from_logits: bool = False) -> Evaluation:
    """Scores `model` on every image of `split`.

    Args:
        model: A model with one output per class, or with a single sigmoid for two classes.
        split: The images.
        from_logits: Whether the model ends in logits instead of probabilities.

    Raises:
        DataError: If an image file changed or went away after it was listed.
    """
    with data_errors(split):
        outputs = model.predict(evaluation_batches(split), verbose=0)
    return Evaluation(to_probabilities(outputs, from_logits=from_logits), split.labels)


def to_probabilities(outputs: "np.ndarray", *, from_logits: bool = False) -> "np.ndarray":
    """Returns the probability of each class.

    Args:
        outputs: What the model gave, float `(n, num_classes)`, or `(n, 1)` for two classes: the
            probability of class 1.
        from_logits: Whether `outputs` are logits, one per class.

    Returns:
        float64 `(n, num_classes)`, 0..1.
    """
    outputs = np.asarray(outputs, np.float64)
    if outputs.shape[1] == 1:
        return np.concatenate([1 - outputs, outputs], axis=1)
    if from_logits:
        exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)
    return outputs


def record_evaluation(
    run: Run,
    evaluation: Evaluation,
    split: Split,
    class_names: Sequence[str],
    provenance: dict[str, str],
) -> None:
    """Writes `predictions.csv`, `confusion.png` and `mistakes.png` into the run folder."""
    title = f"{run.experiment}: {evaluation.accuracy:.2%} of {len(split):,} test images"
    write_text(run.path / "predictions.csv", format_predictions(evaluation, split, class_names))
    plot_confusion(
        run.path / "confusion.png",
        evaluation.confusion,
        class_names,
        title=title,
        provenance=provenance,
    )
    worst = find_mistakes(evaluation)[:SHOWN_MISTAKES].tolist()
    plot_mistakes(
        run.path / "mistakes.png",
        split.images[worst],
        [_describe_mistake(evaluation, split, class_names, position) for position in worst],
        title=title,
        provenance=provenance,
    )


def find_mistakes(evaluation: Evaluation) -> "np.ndarray":
    """Returns the positions of the misclassified images, the most confident mistake first."""
    wrong = np.flatnonzero(evaluation.predicted != evaluation.labels)
    confidence = evaluation.probabilities[wrong].max(axis=1)
    return wrong[np.argsort(-confidence, kind="stable")]


def format_predictions(evaluation: Evaluation, split: Split, class_names: Sequence[str]) -> str:
    """Returns the text of `predictions.csv`: one row per image, in the order of `split`."""
    rows: list[list[Any]] = [["image", "truth", "prediction", "probability"]]
    for name, label, predicted, probabilities in zip(
        split.names, split.labels, evaluation.predicted, evaluation.probabilities, strict=True
    ):
        probability = f"{probabilities[predicted]:.6f}"
        rows.append([name, class_names[label], class_names[predicted], probability])
    return format_csv(rows)


def _describe_mistake(
    evaluation: Evaluation, split: Split, class_names: Sequence[str], position: int
) -> str:
    predicted = int(evaluation.predicted[position])
    probability = evaluation.probabilities[position, predicted]
    truth = class_names[int(split.labels[position])]
    return f"{truth} as {class_names[predicted]} ({probability:.1%})\n{split.names[position]}"
