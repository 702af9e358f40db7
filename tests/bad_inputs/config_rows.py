"""Rows 1 to 11: configurations and command lines. All are answered before TensorFlow loads."""

import os
from collections.abc import Callable

from case import Case, Cases, Place
from command import Command, script
from conftest import CONFIGS, make_digits

cases = Cases()
GOOD = (CONFIGS / "lenet_mnist.yaml").read_text()


def changed(*pairs: tuple[str, str]) -> str:
    """Returns the shipped config with texts replaced."""
    text = GOOD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def file(row: int, name: str, content: str | bytes, *says: str, **more) -> None:
    """A config file with this content."""

    def make(place: Place) -> Command:
        raw = content.encode() if isinstance(content, str) else content
        (place.path / "bad.yaml").write_bytes(raw)
        return Command(script("lenet_mnist", "--config", "bad.yaml"))

    cases.listed.append(Case(row, name, make, 2, ("bad.yaml", *says), **more))


def setting(row: int, name: str, text: str, *says: str, experiment: str = "lenet_mnist") -> None:
    """The shipped config with one `--set`."""
    key = text.partition("=")[0].partition(".")[0]
    command = Command(script(experiment, "--set", text))
    cases.listed.append(Case(row, name, lambda _: command, 2, (f"--set {key}", *says)))


def special(row: int, name: str, make_file: Callable[[Place], object], *says: str) -> None:
    """A `--config bad.yaml` that is no usual file."""

    def make(place: Place) -> Command:
        make_file(place)
        return Command(script("lenet_mnist", "--config", "bad.yaml"))

    cases.listed.append(Case(row, name, make, 2, ("bad.yaml", *says)))


DID_YOU_MEAN = "did you mean training.optimizer.learning_rate?"
file(
    1,
    "misspelt key in the file",
    changed(("    learning_rate:", "    learing_rate:")),
    "training.optimizer.learing_rate: unknown key",
    DID_YOU_MEAN,
)
setting(1, "misspelt key of --set", "training.optimizer.learing_rate=1e-3", DID_YOU_MEAN)
setting(1, "misspelt section of --set", "trainin.epochs=3", "did you mean training?")
setting(
    1,
    "misspelt key of a phase",
    "phases.0.epocs=3",
    "error: --set phases.0.epocs: unknown key; did you mean phases.0.epochs?",
    experiment="cats_dogs_vgg16_features",
)
file(1, "misspelt section in the file", changed(("model:", "modle:")), "did you mean model?")
setting(1, "key like no other", "model.zzz=3", "the keys here are", "kernel_size")

setting(2, "epochs under model", "model.epochs=3", "belongs to training")
setting(2, "filters under training", "training.filters=[1, 2]", "belongs to model")
setting(
    2,
    "epochs of a phase under training",
    "training.epochs=3",
    "unknown key; it belongs to phases.0",
    experiment="cats_dogs_vgg16_features",
)
file(2, "seed under data", changed(("  limit:", "  seed: 3\n  limit:")), "belongs to the top level")

SIZE = "training.batch_size"
WHOLE = "expected a whole number of at least 1, got "
setting(3, "number in quotes", f'{SIZE}="32"', f'{WHOLE}"32" (text); remove the quotes')
setting(3, "zero", f"{SIZE}=0", f"{WHOLE}0")
setting(3, "negative", f"{SIZE}=-1", f"{WHOLE}-1")
setting(3, "fraction", f"{SIZE}=1.5", f"{WHOLE}1.5")
setting(3, "not a number", f"{SIZE}=.nan", f"{WHOLE}.nan")
setting(3, "boolean", f"{SIZE}=true", f"{WHOLE}true")
setting(3, "list", f"{SIZE}=[32]", f"{WHOLE}[32] (a list)")
setting(3, "1e-3 where a whole number belongs", f"{SIZE}=1e-3", f"{WHOLE}0.001")
setting(3, "infinite rate", "training.optimizer.learning_rate=.inf", "a finite number", "got .inf")
setting(3, "rate of zero", "training.optimizer.learning_rate=0", "expected a number above 0")
setting(3, "fraction of 1.5", "data.validation_fraction=1.5", "of at least 0 and below 1")
setting(3, "seed beyond its range", "seed=99999999999", "below 2147483648")


@cases(3, "1e-3 is a number", 2, "error: --set seed: ")
def _(place: Place) -> Command:
    """Only the other mistake is told of."""
    text = changed(("learning_rate: 0.001", "learning_rate: 1e-3"))
    (place.path / "good.yaml").write_text(text)
    return Command(script("lenet_mnist", "--config", "good.yaml", "--set", "seed=x"))


setting(4, "no for a boolean", "training.deterministic=no", "true or false", 'got "no" (text)')
setting(4, "017", "training.epochs=017", f'{WHOLE}"017" (text)')
setting(4, "1_000", f"{SIZE}=1_000", f'{WHOLE}"1_000" (text)')
setting(4, "12:30:00", "training.epochs=12:30:00", f'{WHOLE}"12:30:00" (text)')
setting(4, "2026-01-01", "seed=2026-01-01", 'got "2026-01-01" (text)')


@cases(4, "class names no, yes, on are text", 2, "error: --set seed: ")
def _(place: Place) -> Command:
    names = "data.class_names=[no, yes, on]"
    return Command(script("cats_dogs_baseline", "--set", names, "--set", "seed=x"))


file(5, "key twice", changed(("seed: 1", "seed: 1\nseed: 2")), "bad.yaml:6: seed", "line 5")
file(
    5,
    "key twice in a section",
    changed(("  epochs: 20", "  epochs: 20\n  epochs: 30")),
    "training.epochs",
    "line",
)
file(5, "section twice", GOOD + "\nmodel:\n  filters: [1, 2]\n", "model", "line")

TAGS = "tags are not allowed"
RUN = "!!python/object/apply:os.system [touch owned]"
file(6, "python object to apply", changed(("seed: 1", f"seed: {RUN}")), "bad.yaml:5: ", TAGS)
file(6, "python name", changed(("seed: 1", "seed: !!python/name:os.system")), TAGS)
file(6, "harmless tag", changed(("seed: 1", "seed: !!int 1")), TAGS)
setting(6, "tag in --set", f"seed={RUN}", TAGS)

LAUGHS = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
LAUGHS += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
file(7, "billion laughs", "\n".join(LAUGHS), "bad.yaml:1: anchors", seconds=1.0)
file(7, "cycle of an anchor", "a: &x [*x]", "anchors", seconds=1.0)
file(7, "10,000 lists deep", "a: " + "[" * 10_000 + "]" * 10_000, "nested more than", seconds=1.0)
file(7, "10,000 mappings deep", "a: " + "{a: " * 10_000, "nested more than", seconds=1.0)
file(7, "70,000 keys", "\n".join(f"k{n}: {n}" for n in range(70_000)), "values")


def sparse(size: int) -> Callable[[Place], object]:
    def make(place: Place) -> None:
        with (place.path / "bad.yaml").open("wb") as opened:
            opened.truncate(size)

    return make


special(7, "50 MB", sparse(50_000_000), "50,000,000 bytes are too many")
special(7, "50 GB", sparse(50_000_000_000), "50,000,000,000 bytes are too many")


@cases(7, "5,000 keys deep in --set", 2, "--set a.a.a", "keys deep")
def _(place: Place) -> Command:
    return Command(script("lenet_mnist", "--set", ".".join(["a"] * 5000) + "=1"))


file(8, "empty", "", "bad.yaml:1: the file is empty")
file(8, "only a comment", "# later\n", "the file is empty")
file(8, "list at the top", "- 1\n- 2\n", "found a list at the top")
file(8, "text at the top", "hello\n", "found a single value at the top")
file(8, "two documents", GOOD + "---\nseed: 2\n", "second document")
file(8, "tab", changed(("  epochs: 20", "\tepochs: 20")), "found a tab")
file(8, "byte order mark", b"\xef\xbb\xbf" + GOOD.encode(), "byte order mark", "save the file as")
file(8, "UTF-16", GOOD.encode("utf-16"), "UTF-16", "save the file as UTF-8")
file(8, "Latin-1", changed(("lenet_mnist", "caf\xe9")).encode("latin-1"), "0xe9 is not UTF-8")
file(8, "NUL", changed(("seed: 1", "seed: \0")), "NUL")
file(8, "picture", b"\x89PNG\r\n\x1a\n\0\0\0", "0x89")
file(8, "brackets left open", changed(("[20, 50]", "[20, 50")), "brackets")
special(8, "folder", lambda place: (place.path / "bad.yaml").mkdir(), "this is a directory")
special(8, "pipe", lambda place: os.mkfifo(place.path / "bad.yaml"), "not a regular file")
special(
    8,
    "device",
    lambda place: (place.path / "bad.yaml").symlink_to("/dev/zero"),
    "not a regular file",
)
special(
    8,
    "missing, with a near one beside",
    lambda place: (place.path / "bad_.yaml").write_text(GOOD),
    "there is no such file",
    "did you mean bad_.yaml?",
)


@cases(8, "flag that there is not", 2, "--epochs", "lenet_mnist.py --help")
def _(place: Place) -> Command:
    return Command(script("lenet_mnist", "--epochs", "3"))


@cases(8, "config of another experiment", 2, "expected lenet_mnist", "run scripts/convnet_mnist.py")
def _(place: Place) -> Command:
    return Command(script("lenet_mnist", "--config", CONFIGS / "convnet_mnist.yaml"))


setting(9, "optimizer", "training.optimizer.name=adm", "sgd", "rmsprop", "did you mean adam?")
setting(9, "activation", "model.activation=rleu", "tanh", "did you mean relu?")
setting(9, "scaling", "model.scaling=centered", "per256", "did you mean centred?")
setting(
    9, "precision", "training.precision=float16", "expected float32, mixed_bfloat16 or auto",
    "did you mean float32?",
)  # fmt: skip
setting(
    9,
    "backbone",
    "model.backbone=vgg17",
    "inception_v3",
    "did you mean vgg1",
    experiment="vgg16_mnist",
)
setting(
    9, "interpolation", "data.interpolation=bilinar", "did you mean bilinear?",
    experiment="cats_dogs_baseline",
)  # fmt: skip
setting(10, "kernel of 0", "model.kernel_size=0", "a whole number of at least 1, got 0")
setting(
    10,
    "image of 0 pixels",
    "data.image_size=[0, 150]",
    "a whole number of at least 1, got 0",
    experiment="cats_dogs_baseline",
)


def small_images(place: Place, side: int, *settings: str, experiment: str) -> Command:
    make_digits(place.path / "small.npz", train=40, test=12, side=side)
    return Command(script(experiment, settings=["data.path=small.npz", *settings]))


@cases(
    10, "kernel larger than the image", 2, "layer conv1", "(12, 12, 1)", "a smaller kernel",
    loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    return small_images(place, 12, "model.kernel_size=13", experiment="convnet_mnist")


@cases(
    10, "image too small for the poolings", 2, "layer pool2", "larger images than",
    loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    return small_images(place, 2, experiment="lenet_mnist")


TYPOS = [
    ("seed: 1", "sed: 1"), ("scaling: unit", "scalling: unit"), ("  epochs: 20", "  epoch: 20"),
    ("deterministic: true", "determinstic: true"), ("learning_rate:", "learing_rate:"),
]  # fmt: skip
file(
    11, "five typos", changed(*TYPOS), "5 problems in bad.yaml", "sed", "scalling", "epoch",
    "determinstic", "learing_rate",
)  # fmt: skip
file(
    11,
    "five wrong values",
    changed(
        ("seed: 1", "seed: x"),
        ("limit: null", "limit: 0"),
        ("kernel_size: 5", "kernel_size: 1.5"),
        ("threads: null", "threads: -1"),
        ("keep: last", "keep: first"),
    ),
    "5 problems in bad.yaml",
    "seed",
    "data.limit",
    "model.kernel_size",
    "training.threads",
    "training.keep",
)


@cases(11, "typos in the file and on the command line", 2, "3 problems", "--set seed", "sed", "zzz")
def _(place: Place) -> Command:
    (place.path / "bad.yaml").write_text(changed(("  limit:", "  lmit:")))
    settings = ["seed=sed", "model.zzz=1"]
    return Command(script("lenet_mnist", "--config", "bad.yaml", settings=settings))


CASES = cases.listed
