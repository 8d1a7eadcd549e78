"""Many requests at once to a host that closes, resets, breaks off and answers late, at random.

    python -m tests.support.fuzzed_sends [--sends 100000] [--at-once 200] [--seed 1]

Prints how many were written twice, called unreached although they were read, called lost although the host
had answered in whole and kept the connection, or given an answer that was not theirs: all must be 0. The
exit code is 1 if one is not.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from typing import NamedTuple, cast

import uvloop

from broadcaster.meta.send_client import Lost, SendClient, Unreached

BODY = b"{}"


class Found(NamedTuple):
    """What became of the sends."""

    answered: int
    unreached: int
    lost: int
    lost_yet_never_seen: int
    twice: int
    unreached_yet_seen: int
    wrong_answer: int
    lost_though_whole: int


class _Host(asyncio.Protocol):
    """Reads requests and does with each what chance wants."""

    def __init__(self, chance: random.Random, seen: Counter[str], whole: set[str]):
        self._chance = chance
        self._seen = seen
        self._whole = whole
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if self._chance.random() < 0.05:
            self._end()

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.endswith(b"\r\n\r\n" + BODY):
            number = self._read.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            self._read = b""
            self._seen[number] += 1
            self._answer(number)

    def _answer(self, number: str) -> None:
        body = f"answer {number}".encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        ways = ("whole", "close", "half", "late", "end", "chunks")
        match self._chance.choices(ways, (60, 8, 8, 8, 8, 8))[0]:
            case "whole":
                self._whole.add(number)
                self._transport.write(answer)
                if self._chance.random() < 0.1:
                    later = self._chance.choice((0, 0.0005, 0.002))
                    asyncio.get_running_loop().call_later(later, self._end)
            case "close":
                self._transport.write(answer)
                self._transport.close()
            case "half":
                self._transport.write(answer[: self._chance.randrange(len(answer))])
                self._end()
            case "late":
                delay = self._chance.random() / 50
                asyncio.get_running_loop().call_later(delay, self._answer_late, answer)
            case "chunks":
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                self._transport.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            case _:
                self._end()

    def _answer_late(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _end(self) -> None:
        if self._chance.random() < 0.5:
            self._transport.abort()
        else:
            self._transport.close()


def fuzz(sends: int, at_once: int, seed: int) -> Found:
    """Send so many and tell what became of them."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_fuzz(sends, at_once, seed))


async def _fuzz(sends: int, at_once: int, seed: int) -> Found:
    seen: Counter[str] = Counter()
    whole: set[str] = set()
    outcomes: dict[str, bytes | str] = {}
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Host(chance, seen, whole), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    numbers = iter(range(sends))
    async with SendClient(f"http://127.0.0.1:{port}", 30) as client:

        async def send_all() -> None:
            for number in numbers:
                name = str(number)
                try:
                    answer = await client.post(client.head(name, "t"), BODY, lambda: None)
                    outcomes[name] = answer.body
                except Unreached:
                    outcomes[name] = "unreached"
                except Lost:
                    outcomes[name] = "lost"

        await asyncio.gather(*(send_all() for _ in range(at_once)))
    server.close()
    # An answer whose head was read and whose body broke off is an empty one.
    lost = [name for name, outcome in outcomes.items() if outcome in ("lost", b"")]
    unreached = [name for name, outcome in outcomes.items() if outcome == "unreached"]
    answered = {name: body for name, body in outcomes.items() if isinstance(body, bytes) and body}
    return Found(
        answered=len(answered),
        unreached=len(unreached),
        lost=len(lost),
        lost_yet_never_seen=sum(not seen[name] for name in lost),
        twice=sum(count > 1 for count in seen.values()),
        unreached_yet_seen=sum(seen[name] > 0 for name in unreached),
        wrong_answer=sum(body != f"answer {name}".encode() for name, body in answered.items()),
        lost_though_whole=sum(name in whole for name in lost),
    )


def main() -> int:
    """Fuzz as the options ask; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.support.fuzzed_sends")
    parser.add_argument("--sends", type=int, default=100_000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = fuzz(asked.sends, asked.at_once, asked.seed)
    print(found)
    return int(any((found.twice, found.unreached_yet_seen, found.wrong_answer, found.lost_though_whole)))


if __name__ == "__main__":
    sys.exit(main())
