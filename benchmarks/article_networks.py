"""The networks of the articles in plain Keras, as tutorials write them."""

from typing import Any

import keras
import numpy as np
from keras import layers
from PIL import Image

IMAGE_SIZE, DIGIT_SIZE = (150, 150), (48, 48)


def lenet() -> list[Any]:
    """Returns the layers of LeNet."""
    return [
        layers.Conv2D(20, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(50, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(500, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def mlp() -> list[Any]:
    """Returns the layers of the dense network with relu, as it came out in its article."""
    return [
        layers.Flatten(),
        layers.Dense(500, activation="relu"),
        layers.Dropout(0.5),
        layers.Activation("relu"),
        layers.Dropout(0.5),
        layers.Activation("relu"),
        layers.Dense(10, activation="softmax"),
    ]


def small_convnet() -> list[Any]:
    """Returns the layers of the small convnet for digits."""
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def cats_dogs_convnet(dropout: bool) -> list[Any]:
    """Returns the layers of the convnet for photographs, with or without Dropout."""
    found: list[Any] = []
    for filters in (32, 64, 128, 128):
        found += [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D(2)]
    found += [layers.Flatten(), *([layers.Dropout(0.5)] if dropout else [])]
    return [
        *found,
        layers.Dense(512, activation="relu"),
        layers.Dense(1, activation="sigmoid", dtype="float32"),
    ]


def vgg16(weights: str | None, image_size: tuple[int, int] = IMAGE_SIZE) -> keras.Model:
    """Returns VGG16's frozen layers.

    Args:
        weights: A weights file of VGG16 without its top; None: random ones.
        image_size: Height and width of the images, in pixels.
    """
    base = keras.applications.VGG16(
        include_top=False, weights=weights, input_shape=(*image_size, 3)
    )
    base.trainable = False
    return base


def head(dropout: bool) -> list[Any]:
    """Returns the layers that are trained on top of VGG16, with or without Dropout."""
    return [
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        *([layers.Dropout(0.5)] if dropout else []),
        layers.Dense(1, activation="sigmoid", dtype="float32"),
    ]


def digits_on_vgg16(weights: str | None) -> list[Any]:
    """Returns the layers of the network for digits of 48x48 in three colours."""
    return [
        vgg16(weights, DIGIT_SIZE),
        layers.Flatten(),
        layers.Dense(500, activation="relu"),
        layers.Dense(500, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax", dtype="float32"),
    ]


def enlarge(digits: np.ndarray) -> np.ndarray:
    """Returns grey digits `(count, 28, 28)` as `(count, 48, 48, 3)`, both uint8."""
    large = (
        Image.fromarray(digit).resize(DIGIT_SIZE, Image.Resampling.BILINEAR) for digit in digits
    )
    return np.stack([np.array(image.convert("RGB")) for image in large])


# Layers, what pixels are divided by, optimizer.
MNIST = {
    "lenet_mnist": (lenet, 255, "adam"),
    "mlp_mnist_relu": (mlp, 256, "adam"),
    "convnet_mnist": (small_convnet, 255, "rmsprop"),
    "vgg16_mnist": (digits_on_vgg16, 256, "adam"),
}


# Those for photographs on VGG16: whether the head has Dropout, and its learning rate.
ON_VGG16 = {
    "cats_dogs_vgg16_features": (True, 2e-5),
    "cats_dogs_bottleneck": (True, 1e-3),
    "cats_dogs_vgg16_frozen": (False, 2e-5),
    "cats_dogs_vgg16_finetune": (False, 2e-5),
}
FINE_TUNED_FROM, FINE_TUNING_RATE = "block5_conv1", 1e-5


def build_for_photographs(experiment: str, weights: str | None) -> keras.Model:
    """Returns the compiled network of one of the experiments on photographs.

    Args:
        experiment: Its name.
        weights: A weights file of VGG16 without its top, for an experiment on it: frozen inside
            the model, it is run again for each image of each epoch.
    """
    rate, parts = 1e-4, cats_dogs_convnet(dropout=experiment == "cats_dogs_augmented")
    if experiment in ON_VGG16:
        dropout, rate = ON_VGG16[experiment]
        parts = [vgg16(weights), *head(dropout)]
    model = keras.Sequential([keras.Input((*IMAGE_SIZE, 3)), *parts])
    compile_for_photographs(model, rate)
    return model


def compile_for_photographs(model: keras.Model, rate: float) -> None:
    """Compiles a network for cats and dogs, in place."""
    model.compile(
        loss="binary_crossentropy",
        optimizer=keras.optimizers.RMSprop(learning_rate=rate),
        metrics=["accuracy"],
    )


def unfreeze(model: keras.Model) -> None:
    """Has VGG16's last block learn, too, at a lower rate, in place."""
    base = model.layers[0]
    base.trainable = True
    first = [layer.name for layer in base.layers].index(FINE_TUNED_FROM)
    for layer in base.layers[:first]:
        layer.trainable = False
    compile_for_photographs(model, FINE_TUNING_RATE)
