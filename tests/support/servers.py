"""The server in a thread of the test's own process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broadcaster.cli.serving import raise_open_files
from broadcaster.config import Settings
from broadcaster.store.writer import Writer
from broadcaster.vault import open_vault
from broadcaster.web.server import Server
from broadcaster.worker.schedule import Schedule


@contextmanager
def serving(
    settings: Settings, db: Any, writer: Writer | None = None, drain_seconds: float = 0, **limits: Any
) -> Iterator[Server]:
    """A server over the open database, until the end, when it has so long for what is under way. A writer
    that is given has been started."""
    raise_open_files()
    here = settings.model_copy(update={"port": 0})
    stopped = threading.Event()
    server = Server(here, Schedule(db), open_vault(here.data_dir), writer or Writer(), **limits)
    loop = threading.Thread(target=server.serve_while, args=(lambda: not stopped.is_set(),))
    loop.start()
    try:
        yield server
    finally:
        stopped.set()
        server.pull_trigger()
        loop.join()
        server.drain(time.monotonic() + drain_seconds)
        for channel in list(server.active_channels.values()):
            channel.close()


def connect(server: Server) -> socket.socket:
    """A connection to a server."""
    address = (server.effective_host, int(server.effective_port))
    return socket.create_connection(address, timeout=10)
