"""Starts a training script that is told to stop when the process that started it dies.

Run as a file, not imported: `python leash.py PARENT SCRIPT ARGUMENT...`. It takes no time, and the
script takes this process's place.

A driver that is killed cannot stop its trials. Linux can: this asks for SIGTERM on the parent's
death, on which a script saves and ends. Elsewhere a trial goes on to its own end; either way its
log stays locked until then, so that nobody starts it twice.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != int(parent):  # it died before it could be watched
            sys.exit(130)
    os.execv(sys.executable, [sys.executable, *command])
