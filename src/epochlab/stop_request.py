"""Ctrl-C, SIGTERM and SIGHUP during training: finish the step and save; the second time, stop."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from epochlab.exits import EXIT_INTERRUPTED, STOP_SIGNALS


class StopRequest:
    """Whether the user or the system has asked this process to stop.

    Attributes:
        signal_name: The name of the signal that asked, as `SIGTERM`, or None.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def take(self, number: int) -> None:
        """Notes the first signal; the second one ends the process at once."""
        name = signal.Signals(number).name
        if self.signal_name is not None:
            _say(f"{name} again: stopped at once; what was saved before is whole")
            os._exit(EXIT_INTERRUPTED)
        self.signal_name = name
        _say(f"{name}: saving after this step; once more stops at once")


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Collects requests to stop in the block instead of raising `KeyboardInterrupt`.

    A call into TensorFlow can take many seconds, in which Python's own signal handlers wait. So the
    signals are read by a thread, which answers at once. A signal that this process was started to
    ignore, as `nohup` does with SIGHUP, stays ignored. Outside the main thread, where Python sets
    no handlers, nothing is collected.

    Yields:
        The request, to be looked at between steps.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    watched = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    # A handler must be there for Python to write the signal's number to the file descriptor.
    handlers = {number: signal.signal(number, lambda *_: None) for number in watched}
    previous = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        for number in iter(lambda: reading.recv(1), b""):
            if number[0] in watched:
                request.take(number[0])

    listener = threading.Thread(target=listen, name="stop-requests", daemon=True)
    listener.start()
    try:
        yield request
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        writing.close()
        listener.join()
        reading.close()


def _say(message: str) -> None:
    print(f"\n{message}", file=sys.stderr, flush=True)
