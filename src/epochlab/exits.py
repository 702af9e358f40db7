"""From an exception to the contract's exit code: one message on stderr, no traceback."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

from epochlab.errors import EnvironmentFault, EpochlabError
from epochlab.files import MACHINE_FAULTS

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Ends the process with the contract's code if the block fails in an expected way.

    Anything else is a defect of Epochlab and keeps its traceback.
    """
    # As Ctrl-C; but what `nohup` has made this process ignore, stays ignored.
    taken = [number for number in STOP_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    except EpochlabError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        # The end is under way; a second Ctrl-C is not to break it off with a traceback.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        sys.exit(EXIT_INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("epochlab"):
            raise
        fail(
            f"the package {error.name} is missing; install Epochlab with all that it needs: "
            "make setup, or the pip lines of README.md",
            EnvironmentFault.exit_code,
        )
    except OSError as error:
        if error.errno not in MACHINE_FAULTS:
            raise
        fail(
            f"{error}; free some space, change the rights, or choose another folder",
            EnvironmentFault.exit_code,
        )
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def fail(message: str, exit_code: int) -> NoReturn:
    """Prints `message` as an error and ends the process."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(exit_code)
