"""The failures that Epochlab expects, each with the exit code that a script ends with.

Every message says what was given, what was expected and how to mend it. Anything that is not an
`EpochlabError` is a defect of Epochlab and keeps its traceback.
"""


class EpochlabError(Exception):
    """An expected failure: printed as one message, without a traceback."""

    exit_code = 1


class ConfigError(EpochlabError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class DataError(EpochlabError):
    """The data is missing, damaged or of another layout."""

    exit_code = 3


class RunError(EpochlabError):
    """A checkpoint, a weights file or a run folder cannot be used."""

    exit_code = 4


class EnvironmentFault(EpochlabError):
    """The machine is at fault: a missing package, no disk space, a folder that is not writable."""

    exit_code = 5


DIVERGED_REMEDY = "give the optimizer a lower learning_rate, or another model.scaling"


class DivergedError(EpochlabError):
    """Training produced a loss that is not finite."""

    exit_code = 6


class NotReproducedError(EpochlabError):
    """A run's own config gave another result."""

    exit_code = 7
