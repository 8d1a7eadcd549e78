"""Peers that answer in a way of their own, over real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@contextmanager
def peer(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """The address of somebody who answers each connection in a way of their own, until the end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        serve(connection, over)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


def dripping(start: bytes, piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.02):
            connection.sendall(piece)

    return serve


def flooding(start: bytes, piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """As much as is taken, until the other end closes."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        much = piece * (65_536 // len(piece))
        while not over.is_set():
            connection.sendall(much)

    return serve


def answering(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    return lambda connection, _over: connection.sendall(answer)
