"""One of our networks as plain data, for libraries that cannot read a Keras model.

    python benchmarks/network_description.py lenet_mnist training.epochs=3

Prints JSON: `layers`; `operations`, the floating-point operations of one training image;
`image_shape`, `outputs`, `optimizer`, `batch_size`, `epochs`, `threads`.
"""

import json
import math
import sys

from timing import load_experiment


def describe_layer(layer) -> dict:
    """Returns what another library needs to make `layer`, and its operations forward."""
    kind = type(layer).__name__
    if kind == "Conv2D":
        *_, outputs = layer.output.shape
        size = layer.kernel_size[0]
        inputs = layer.kernel.shape[2]
        return {
            "kind": "convolution", "inputs": inputs, "outputs": outputs, "kernel_size": size,
            "padding": layer.padding, "activation": layer.activation.__name__,
            "operations": 2 * size**2 * inputs * math.prod(layer.output.shape[1:]),
        }  # fmt: skip
    if kind == "Dense":
        inputs, outputs = layer.kernel.shape
        name = layer.activation.__name__
        return {
            "kind": "dense", "inputs": inputs, "outputs": outputs,
            "activation": "linear" if name in ("softmax", "sigmoid") else name,
            "operations": 2 * inputs * outputs,
        }  # fmt: skip
    if kind == "MaxPooling2D":
        return {"kind": "pooling", "size": layer.pool_size[0]}
    if kind == "Dropout":
        return {"kind": "dropout", "rate": layer.rate}
    if kind == "Activation":
        return {"kind": "activation", "activation": layer.activation.__name__}
    if kind == "Flatten":
        return {"kind": "flatten"}
    raise SystemExit(f"{layer.name}: no way to describe a {kind}")


def main() -> None:
    """Prints the description of the network that the command line names."""
    from epochlab.environment import count_cpus
    from epochlab.process import load_tensorflow

    network, *settings = sys.argv[1:]
    script, config = load_experiment(network, settings)
    load_tensorflow()
    (build,) = (value for name, value in script.items() if name.startswith("build_"))
    is_mnist = "mnist" in network
    image_shape = (28, 28, 1) if is_mnist else (*config.data.image_size, 3)
    model = build(config.model, image_shape, 10 if is_mnist else 2, config.seed)
    layers = [
        describe_layer(layer)
        for layer in model.layers
        if type(layer).__name__ not in ("InputLayer", "Rescaling")
    ]
    forward = [layer.pop("operations") for layer in layers if "operations" in layer]
    # Backward each layer has its weights' gradient and its input's, the first one not the latter.
    training = config.training
    print(
        json.dumps(
            {
                "layers": layers,
                "operations": 3 * sum(forward) - forward[0],
                "image_shape": image_shape,
                "outputs": model.output_shape[-1],
                "optimizer": training.optimizer.model_dump(),
                "batch_size": training.batch_size,
                "epochs": training.epochs,
                "threads": training.threads or count_cpus(),
            }
        )
    )


if __name__ == "__main__":
    main()
