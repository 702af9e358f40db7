"""Standard error without what C++ libraries write to it past Python."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

from epochlab.errors import EpochlabError

# There is one standard error in a process: two threads that swap it at once would lose it.
_swapping = threading.RLock()


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Keeps what the process writes to stderr, C++ included, unless the block fails unexpectedly.

    TensorFlow says on every start, at no log level to be silenced, that oneDNN is on and that there
    is no GPU; `environment.json` records both. It and libjpeg tell of each damaged image, without
    its name.
    """
    with _swapping, tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except EpochlabError:
            raise
        except Exception:
            os.dup2(kept, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
