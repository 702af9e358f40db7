"""The training step of one of our networks in native PyTorch, timed.

Needs PyTorch alone, so that it may stand in an environment of its own. `throughput.py` starts it
with a description of the network as JSON, which it makes from the Keras model; see `Rival` there.
Images lie in memory as float32 and scaled already, channels last, and a batch is an index into
them: less work than a `DataLoader` does.
"""

import json
import resource
import sys
import time

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "linear": nn.Identity}


def build(layers: list[dict]) -> nn.Sequential:
    """Returns the network, its last layer giving logits."""
    parts: list[nn.Module] = []
    for layer in layers:
        match layer["kind"]:
            case "convolution":
                size = layer["kernel_size"]
                padding = size // 2 if layer["padding"] == "same" else 0
                parts.append(nn.Conv2d(layer["inputs"], layer["outputs"], size, padding=padding))
                parts.append(ACTIVATIONS[layer["activation"]]())
            case "dense":
                parts.append(nn.Linear(layer["inputs"], layer["outputs"]))
                parts.append(ACTIVATIONS[layer["activation"]]())
            case "activation":
                parts.append(ACTIVATIONS[layer["activation"]]())
            case "pooling":
                parts.append(nn.MaxPool2d(layer["size"]))
            case "dropout":
                parts.append(nn.Dropout(layer["rate"]))
            case "flatten":
                parts.append(nn.Flatten())
    return nn.Sequential(*parts)


def build_optimizer(settings: dict, parameters) -> torch.optim.Optimizer:
    """Returns PyTorch's optimizer of the same name and constants, with its defaults else."""
    rate, epsilon = settings["learning_rate"], settings.get("epsilon")
    if settings["name"] == "adam":
        betas = (settings["beta_1"], settings["beta_2"])
        return torch.optim.Adam(parameters, rate, betas, epsilon)
    return torch.optim.RMSprop(parameters, rate, settings["rho"], epsilon)


def main() -> None:
    """Prints the seconds of each epoch but the first, and the peak memory in GB."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    torch.manual_seed(1)
    height, width, channels = task["image_shape"]
    images = torch.rand(task["images"], channels, height, width)
    model = build(task["layers"])
    if any(layer["kind"] == "convolution" for layer in task["layers"]):
        images = images.to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    binary = task["outputs"] == 1
    labels = torch.randint(0, max(2, task["outputs"]), (len(images),))
    loss_of = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    optimizer = build_optimizer(task["optimizer"], model.parameters())
    seconds = []
    for _ in range(task["epochs"]):
        started = time.perf_counter()
        right, total = torch.zeros((), dtype=torch.int64), torch.zeros(())
        for batch in torch.randperm(len(images)).split(task["batch_size"]):
            target = labels[batch]
            with torch.autocast("cpu", torch.bfloat16, enabled=task["precision"] != "float32"):
                outputs = model(images[batch])
            outputs = outputs.float()
            loss = loss_of(outputs[:, 0], target.float()) if binary else loss_of(outputs, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():  # what Keras's history shows
                said = (outputs[:, 0] > 0).long() if binary else outputs.argmax(1)
                right += (said == target).sum()
                total += loss
        right.item()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds[1:], "peak_gb": peak}))


if __name__ == "__main__":
    main()
