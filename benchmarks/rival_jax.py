"""The training step of our dense network in JAX, timed: one jitted function per step, Adam in it.

Needs JAX alone; started like `rival_torch.py`. Images lie in memory as float32 and scaled already.
"""

import json
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "linear": lambda values: values}


def make_step(layers: list[dict], settings: dict):
    """Returns the compiled function from (state, images, labels, key) to state and mean loss."""
    rate, beta_1, beta_2 = (settings[name] for name in ("learning_rate", "beta_1", "beta_2"))

    def compute_loss(weights, images, labels, key):
        values, remaining = images.reshape(len(images), -1), list(weights)
        for number, layer in enumerate(layers):
            if layer["kind"] == "dense":
                kernel, bias = remaining.pop(0)
                values = values @ kernel + bias
            if layer["kind"] == "dropout":
                kept = jax.random.bernoulli(
                    jax.random.fold_in(key, number), 1 - layer["rate"], values.shape
                )
                values = jnp.where(kept, values / (1 - layer["rate"]), 0)
            if "activation" in layer:
                values = ACTIVATIONS[layer["activation"]](values)
        chances = jax.nn.log_softmax(values)
        right = (values.argmax(1) == labels).mean()
        return -jnp.take_along_axis(chances, labels[:, None], 1).mean(), right

    def step(state, images, labels, key):
        weights, first, second, count = state
        (loss, right), slopes = jax.value_and_grad(compute_loss, has_aux=True)(
            weights, images, labels, jax.random.fold_in(key, count)
        )
        count += 1
        first = jax.tree.map(lambda m, g: m + (g - m) * (1 - beta_1), first, slopes)
        second = jax.tree.map(lambda v, g: v + (g * g - v) * (1 - beta_2), second, slopes)
        alpha = rate * jnp.sqrt(1 - beta_2**count) / (1 - beta_1**count)
        weights = jax.tree.map(
            lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + settings["epsilon"]),
            weights, first, second,
        )  # fmt: skip
        return (weights, first, second, count), loss, right

    return jax.jit(step, donate_argnums=0)


def main() -> None:
    """Prints the seconds of each epoch but the first, and the peak memory in GB."""
    task = json.loads(sys.argv[1])
    generator = np.random.default_rng(1)
    images = generator.random((task["images"], *task["image_shape"]), np.float32)
    labels = generator.integers(0, task["outputs"], len(images)).astype(np.int32)
    weights = [
        (
            jnp.asarray(
                generator.normal(0, 0.05, (layer["inputs"], layer["outputs"])), jnp.float32
            ),
            jnp.zeros(layer["outputs"]),
        )
        for layer in task["layers"]
        if layer["kind"] == "dense"
    ]
    state = (
        weights,
        jax.tree.map(jnp.zeros_like, weights),
        jax.tree.map(jnp.zeros_like, weights),
        0,
    )
    step, key = make_step(task["layers"], task["optimizer"]), jax.random.key(1)
    seconds = []
    for _ in range(task["epochs"]):
        started = time.perf_counter()
        order = generator.permutation(len(images))
        loss = right = jnp.zeros(())
        for first in range(0, len(images), task["batch_size"]):
            batch = order[first : first + task["batch_size"]]
            state, step_loss, step_right = step(state, images[batch], labels[batch], key)
            loss, right = loss + step_loss, right + step_right
        jax.block_until_ready((state, loss, right))
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds[1:], "peak_gb": peak}))


if __name__ == "__main__":
    main()
