"""The networks of the articles in plain Keras, as tutorials write them."""

from typing import Any

import keras
from keras import layers

IMAGE_SIZE = (150, 150)


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
    return [*found, layers.Dense(512, activation="relu"), layers.Dense(1, activation="sigmoid")]


def vgg16_and_head(weights: str | None) -> list[Any]:
    """Returns VGG16's frozen layers, as one, and those that are trained on top."""
    base = keras.applications.VGG16(
        include_top=False, weights=weights, input_shape=(*IMAGE_SIZE, 3)
    )
    base.trainable = False
    return [
        base,
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(1, activation="sigmoid"),
    ]


# Layers, what pixels are divided by, optimizer.
MNIST = {
    "lenet_mnist": (lenet, 255, "adam"),
    "mlp_mnist_relu": (mlp, 256, "adam"),
    "convnet_mnist": (small_convnet, 255, "rmsprop"),
}


def build_for_photographs(experiment: str, weights: str | None) -> keras.Model:
    """Returns the compiled network of one of the experiments on photographs.

    Args:
        experiment: Its name.
        weights: A weights file of VGG16 without its top, for the experiment that has one: frozen
            inside the model, it is run again for each image of each epoch.
    """
    rate, parts = 1e-4, cats_dogs_convnet(dropout=experiment == "cats_dogs_augmented")
    if experiment == "cats_dogs_vgg16_features":
        rate, parts = 2e-5, vgg16_and_head(weights)
    model = keras.Sequential([keras.Input((*IMAGE_SIZE, 3)), *parts])
    model.compile(
        loss="binary_crossentropy",
        optimizer=keras.optimizers.RMSprop(learning_rate=rate),
        metrics=["accuracy"],
    )
    return model
