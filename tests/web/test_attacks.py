"""What costs a server much is refused before it is paid, and a broadcast beside it goes on."""

import html
import http.client
import os
import re
import resource
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from broadcaster.sandbox import testbed
from tests.support.installation import Field, Installation
from tests.support.samples import CHANNEL, request_of
from tests.support.waiting import wait_until

MOST_MEMORY = 512 * 1024 * 1024
"""Bytes that the process ever had in memory, by the kernel's own note of the highest."""
AT_ONCE = 6
JSON = {"Content-Type": "application/json"}


@dataclass
class Attack:
    """A request, sent several times at once, and the statuses that may answer it."""

    path: str
    body: bytes
    allowed: set[int]
    kind: str = "application/json"
    with_token: bool = True


def listed(value: bytes, count: int) -> bytes:
    return b",".join([value] * count)


LONG_KEY = b'{"x":1,"x":2,"' + b"A" * 100_000 + b'":[' + listed(b"0", 20_000) + b"]}"
NESTED_KEYS = b'{"a":1,"a":2' + b"".join(b',"' + b"B" * 90_000 + b'":{"c":1' for _ in range(30)) + b"}" * 31
UNKNOWN = b"{" + b",".join(b'"%d":0' % i for i in range(900_000)) + b"}"
FORM = "application/x-www-form-urlencoded"
OURS, REFUSED = "/v1/broadcasts", {400, 503}
ATTACKS = {
    "a long key": Attack(OURS, LONG_KEY, {400}),
    "long keys in each other": Attack(OURS, NESTED_KEYS, {400}),
    "a million zeros": Attack(OURS, b'{"types":[' + listed(b"0", 1_000_000) + b"]}", {400}),
    "a million zeros elsewhere": Attack(
        "/v1/webhooks", b'{"types":[' + listed(b"0", 1_000_000) + b"]}", {413}
    ),
    "as many values as are read": Attack(OURS, b'{"a":[' + listed(b'{"":{}}', 160_000) + b"]}", REFUSED),
    "recipients that are none": Attack(OURS, b'{"recipients":[' + listed(b"{}", 249_000) + b"]}", REFUSED),
    "900,000 unknown keys": Attack(OURS, UNKNOWN, {400}),
    "1.6 million equal keys": Attack("/v1/messages/bulk", b"{" + listed(b'"a":0', 1_600_000) + b"}", {400}),
    "half a million equal keys": Attack(OURS, b"{" + listed(b'"a":0', 499_000) + b"}", REFUSED),
    "NUL in every text": Attack(OURS, b'{"a":[' + listed(rb'"\u0000"', 490_000) + b"]}", REFUSED),
    "half characters in every text": Attack(OURS, b'{"a":[' + listed(rb'"\ud800"', 490_000) + b"]}", REFUSED),
    "ten thousand levels": Attack(OURS, b"[" * 400_000 + b"]" * 400_000, REFUSED),
    "a huge number": Attack(OURS, b'{"a":' + b"9" * 5_000_000 + b"}", REFUSED),
    "a sign-in of 11.9 MB": Attack(
        "/sign-in", b"secret=" + b"%41" * 3_960_000, {413}, FORM, with_token=False
    ),
    "a file to sign in": Attack(
        "/sign-in", b"x" * 11_900_000, {413}, "multipart/form-data; boundary=x", False
    ),
    "31 MB from a stranger": Attack(OURS, b"x" * 31_000_000, {401}, with_token=False),
    "callbacks nobody signed": Attack("/callbacks/meta", b"x" * 4_000_000, {401, 503}, with_token=False),
}


@pytest.fixture
def here(field: Field) -> Iterator[tuple[Installation, testbed.Process]]:
    field.sandbox("--latency", "20")
    made = field.installation(pace=100)
    yield made, field.start(made)


def highest_memory(process: testbed.Process) -> int:
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


def send(here: Installation, attack: Attack) -> int:
    """The status that answers it."""
    headers = {"Content-Type": attack.kind}
    if attack.with_token:
        headers["Authorization"] = f"Bearer {here.token}"
    return posted(here, attack.path, attack.body, headers)


def posted(here: Installation, path: str, body: bytes, headers: dict[str, str]) -> int:
    address = urlsplit(here.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.putrequest("POST", path)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    with suppress(ConnectionError):
        # The answer may come before all of it is sent.
        connection.send(body)
    status = connection.getresponse().status
    connection.close()
    return status


def wide_table(here: Installation) -> Callable[[], int]:
    """A post of a file with 200,000 columns, by somebody signed in; returns its status."""
    person = requests.Session()
    person.trust_env = False
    entered = person.post(f"{here.url}/sign-in", data={"secret": here.token}, timeout=60)
    token = re.findall(r'name="form_token" value="([^"]+)"', entered.text)[0]
    page = person.get(f"{here.url}/broadcasts/new?channel={CHANNEL}", timeout=60).text
    template = re.findall(r'value="(\d+)"[^>]*>appointment \(en\)', page)[0]
    header = ",".join(["to", *(f"c{i}" for i in range(200_000))])
    chosen = {"channel": CHANNEL, "template": template, "key": "k", "do": "check"}
    fields = {"form_token": html.unescape(token), **chosen}
    files = {"file": ("wide.csv", f"{header}\n+905554440001{',x' * 200_000}\n", "text/csv")}
    cookies = person.cookies.get_dict()

    def upload() -> int:
        session = requests.Session()
        session.trust_env = False
        answer = session.post(
            f"{here.url}/broadcasts/new", data=fields, files=files, cookies=cookies, timeout=120
        )
        return answer.status_code

    return upload


def test_attacks_cost_less_than_512_megabytes_and_no_message(
    here: tuple[Installation, testbed.Process], field: Field
) -> None:
    installation, process = here
    upload = wide_table(installation)
    accepted = installation.ask("POST", "/v1/broadcasts", json=request_of(1500))
    with ThreadPoolExecutor(2 * AT_ONCE) as attackers:
        answers = {
            name: [attackers.submit(send, installation, attack) for _ in range(AT_ONCE)]
            for name, attack in ATTACKS.items()
        }
        answers["200,000 columns"] = [attackers.submit(upload) for _ in range(AT_ONCE)]
        found = {name: {answer.result() for answer in sent} for name, sent in answers.items()}
    allowed = {name: attack.allowed for name, attack in ATTACKS.items()} | {"200,000 columns": {400, 503}}
    assert {
        name: statuses - allowed[name] for name, statuses in found.items() if statuses - allowed[name]
    } == {}
    assert installation.call("GET", "/healthz").status_code == 200
    path = f"/v1/broadcasts/{accepted['id']}"
    wait_until(lambda: installation.ask("GET", path)["finishedAt"], 120)
    assert installation.ask("GET", path)["stats"] == {
        "pending": 0, "success": 1500, "failed": 0, "cancelled": 0, "total": 1500,
    }  # fmt: skip
    assert highest_memory(process) < MOST_MEMORY


def test_half_sent_bodies_of_strangers_take_bounded_room(
    here: tuple[Installation, testbed.Process],
) -> None:
    installation, process = here
    address = urlsplit(installation.url)
    head = b"POST /callbacks/meta HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    with ExitStack() as stack:
        opened = []
        for _ in range(100):
            connection = stack.enter_context(
                socket.create_connection((address.hostname or "", address.port or 0), timeout=30)
            )
            with suppress(ConnectionError):
                connection.sendall(head + b"x" * 600_000)
            opened.append(connection)
        refused = [one for one in opened[8:] if one.recv(12) == b"HTTP/1.1 503"]
        assert len(refused) == 92
        assert installation.ask("POST", "/v1/broadcasts", json=request_of(2000))["stats"]["total"] == 2000
    assert highest_memory(process) < MOST_MEMORY


def test_a_lack_of_descriptors_is_told_in_one_line_and_passes(field: Field) -> None:
    made = field.installation()
    process = field.start(made, "web")
    assert made.call("GET", "/v1/me").status_code == 200
    pid = process.popen.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 8, hard))
    address = (urlsplit(made.url).hostname or "", urlsplit(made.url).port or 0)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(address, timeout=30))
        wait_until(lambda: "no connections can be accepted" in process.output())
        # Those that are there are cut for those that wait; the log does not grow meanwhile.
        assert made.call("GET", "/healthz").status_code == 200
    told = [line for line in process.output().splitlines() if "accept" in line]
    assert len(told) == 1
    assert "Too many open files" in told[0]
