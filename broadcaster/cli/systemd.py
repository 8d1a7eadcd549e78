"""What systemd is told: that we are ready, that we stop, and at intervals that we work."""

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence

from broadcaster import log

Silence = Callable[[], float]
"""How many seconds a part of the process has shown no sign of work."""

logger = log.get(__name__)


def notify(state: str) -> None:
    """Tell systemd (sd_notify), where it started us and listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            # An @ stands for the zero byte of Linux's abstract names.
            speaker.connect("\0" + address[1:] if address.startswith("@") else address)
            speaker.sendall(state.encode())
    except OSError as error:
        logger.warning("systemd was not told", state=state, reason=error.strerror)


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Within which time systemd wants to hear from this process again; None if it does not watch it."""
    # The variables are inherited: another process's watchdog is not ours.
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None


class Watchdog:
    """Tells systemd that the process works, from start() to stop(), as long as every part of it does.

    A part that is silent for half of systemd's time ends the telling, and systemd ends the process.
    """

    def __init__(self, seconds: float, parts: Mapping[str, Silence]):
        self._seconds = seconds
        self._parts = parts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        was_silent: Sequence[str] = ()
        while not self._stopping.is_set():
            silent = self.silent_parts()
            if not silent:
                notify("WATCHDOG=1")
            elif silent != was_silent:
                logger.error("systemd is not told that we work", silent=silent)
            was_silent = silent
            self._stopping.wait(self._seconds / 4)

    def silent_parts(self) -> list[str]:
        """The parts that have been silent for too long."""
        return [name for name, silence in self._parts.items() if silence() > self._seconds / 2]
