"""Peers that answer in a way of their own, over real sockets."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


Serve = Callable[[socket.socket, threading.Event], None]
"""What is done with a connection that was accepted; the event is set at the end."""


@contextmanager
def host(serve: Serve, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """The port of somebody who serves each connection in a way of their own, each in a thread."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve_one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection, over)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=serve_one, args=(connection,), daemon=True))
                threads[-1].start()

    with socket.create_server(address, backlog=1024) as listening:
        accepting = threading.Thread(target=accept, args=(listening,), daemon=True)
        accepting.start()
        yield listening.getsockname()[1]
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
    for thread in (accepting, *threads):
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def peer(serve: Serve) -> Iterator[str]:
    """The address of somebody who reads a request and answers in a way of their own, until the end."""

    def read_and_serve(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        serve(connection, over)

    with host(read_and_serve) as port:
        yield f"http://127.0.0.1:{port}/"


def read_request(connection: socket.socket) -> bytes:
    """A whole request; closed with a part unread, a connection is reset and its answer may be lost."""
    read = b""
    while True:
        head, end, body = read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            return read
        piece = connection.recv(65_536)
        if not piece:
            return read
        read += piece


def reset(connection: socket.socket) -> None:
    """Close it so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def dripping(start: bytes, piece: bytes) -> Serve:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.02):
            connection.sendall(piece)

    return serve


def flooding(start: bytes, piece: bytes) -> Serve:
    """As much as is taken, until the other end closes."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        much = piece * (65_536 // len(piece))
        while not over.is_set():
            connection.sendall(much)

    return serve


def answering(answer: bytes) -> Serve:
    return lambda connection, _over: connection.sendall(answer)
