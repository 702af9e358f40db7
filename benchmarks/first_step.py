"""Runs a script in this process until its first training step has ended, and says when that was.

    python benchmarks/first_step.py SCRIPT [ARGUMENT]...

The script runs as `python SCRIPT` runs it and loads what it loads when it does. When it has loaded
Keras, whichever line of it that is, `fit` gets one more callback. After the first step that reads
the loss, so that the step is over, prints `time.monotonic()`, which is the same clock in every
process, and ends the process at once. It refuses a first call into TensorFlow of several steps.
"""

import importlib.util
import os
import runpy
import sys
import time


class KerasWatch:
    """A finder for `sys.meta_path`: sees to it that `fit` is changed once Keras is loaded."""

    def find_spec(self, name, path=None, target=None):
        """Returns Keras's own spec, with a loader that changes `fit` at the end."""
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            add_clock(module)

        spec.loader.exec_module = load_and_change
        return spec


def add_clock(keras) -> None:
    """Gives `keras.Model.fit` the callback that ends the process."""

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            float((logs or {})["loss"])
            ended = time.monotonic()
            if batch > 0:
                print(f"expected one step, got {batch + 1} at once", file=sys.stderr, flush=True)
                os._exit(1)
            print(ended, flush=True)
            os._exit(0)

    fit = keras.Model.fit

    def fit_with_clock(self, *arguments, callbacks=(), **keywords):
        return fit(self, *arguments, callbacks=[Clock(), *(callbacks or ())], **keywords)

    keras.Model.fit = fit_with_clock


if __name__ == "__main__":
    del sys.argv[0]
    sys.meta_path.insert(0, KerasWatch())
    runpy.run_path(sys.argv[0], run_name="__main__")
