"""What a power loss leaves of a folder: what was synced, and any part of what was not.

The journal is what `faults.c` wrote. A file's bytes are durable once the file was synced; its name once its
folder or the file itself was (a file system brings a new file's name along with its bytes). Of everything
after that, a part drawn by chance is there: single sectors of the writes, names in their order.
"""

import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<QQQIIQ")
_MAGIC = 0x7A3F91C45EB2D806
_WRITE, _TRUNCATE, _SYNC, _CREATE, _RENAME, _UNLINK, _SYNC_FOLDER, _LINK = range(1, 9)
_SECTOR = 512
_BITS = (1 << 64) - 1


class _Record(NamedTuple):
    kind: int
    inode: int
    offset: int
    data: bytes


def snapshot(folder: Path, kept: Path) -> dict[str, int]:
    """Take a folder as durable: a copy of it, and the inode of every file in it by its relative path."""
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def cut(folder: Path, kept: Path, inodes: dict[str, int], journal: Path, rng: random.Random) -> None:
    """Leave in a folder what a power loss leaves of it since its snapshot. Nothing may run in it."""
    names = dict(inodes)
    files = {inode: bytearray((kept / name).read_bytes()) for name, inode in inodes.items()}
    image = _Image(names, files)
    for record in _records(journal.read_bytes() if journal.exists() else b""):
        image.take(record)
    image.lose(rng)
    folders = [path.relative_to(folder) for path in folder.rglob("*") if path.is_dir()]
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for one in folders:
        (folder / one).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, inode in image.names.items():
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(image.files.get(inode, b""))
        target.chmod(0o600)


class _Image:
    """Files and names as they are durable, and what is not yet."""

    def __init__(self, names: dict[str, int], files: dict[int, bytearray]):
        self.names = names
        self.files = files
        self._writes: dict[int, list[_Record]] = {}
        self._moves: list[_Record] = []
        self._aside = 0
        """Numbers below 0 for files whose inode was given to another."""

    def take(self, record: _Record) -> None:
        if record.kind in (_WRITE, _TRUNCATE):
            self._writes.setdefault(record.inode, []).append(record)
        elif record.kind == _SYNC:
            self._sync(record.inode)
        elif record.kind == _SYNC_FOLDER:
            self._sync_names(len(self._moves))
        else:
            if record.kind == _CREATE:
                self._begin(record.inode)
            self._moves.append(record)

    def _begin(self, inode: int) -> None:
        """An inode is a new file's now. Who had it before is another file, as long as its name stands."""
        self._writes.pop(inode, None)
        if inode in self.files:
            self._aside -= 1
            self.files[self._aside] = self.files.pop(inode)
            self.names = {name: self._aside if i == inode else i for name, i in self.names.items()}
            self._moves = [
                move._replace(inode=self._aside) if move.inode == inode else move for move in self._moves
            ]
        self.files[inode] = bytearray()

    def _sync(self, inode: int) -> None:
        for write in self._writes.pop(inode, []):
            self._write(write.inode, write.kind, write.offset, write.data)
        created = [at for at, move in enumerate(self._moves) if move.kind == _CREATE and move.inode == inode]
        if created:
            self._sync_names(created[-1] + 1)

    def _sync_names(self, count: int) -> None:
        done, self._moves = self._moves[:count], self._moves[count:]
        for move in done:
            self._move(move)

    def _write(self, inode: int, kind: int, offset: int, data: bytes) -> None:
        content = self.files.setdefault(inode, bytearray())
        if kind == _TRUNCATE:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
            return
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data

    def _move(self, move: _Record) -> None:
        first, _, second = move.data.decode().partition("\0")
        if move.kind == _CREATE:
            self.names[first] = move.inode
        elif move.kind == _UNLINK:
            self.names.pop(first, None)
        elif first in self.names:
            self.names[second] = self.names.pop(first) if move.kind == _RENAME else self.names[first]

    def lose(self, rng: random.Random) -> None:
        """Of what is not durable, keep a part drawn by chance."""
        self._sync_names(rng.randint(0, len(self._moves)))
        chance = rng.choice((0.0, 0.5, 0.9, 1.0))
        for inode, writes in self._writes.items():
            for write in writes:
                if write.kind == _TRUNCATE:
                    if rng.random() < chance:
                        self._write(inode, _TRUNCATE, write.offset, b"")
                    continue
                for at in range(0, len(write.data), _SECTOR):
                    if rng.random() < chance:
                        self._write(inode, _WRITE, write.offset + at, write.data[at : at + _SECTOR])


def _records(journal: bytes) -> Iterator[_Record]:
    at = 0
    while (at := journal.find(struct.pack("<Q", _MAGIC), at)) >= 0 and at + _HEAD.size <= len(journal):
        magic, inode, offset, length, kind, check = _HEAD.unpack_from(journal, at)
        body = at + _HEAD.size
        if check != (magic ^ (inode * 31 & _BITS) ^ (offset * 37 & _BITS) ^ (length << 32 | kind)):
            at += 1
            continue
        data = journal[body : body + length]
        following = journal[body + length : body + length + 8]
        if len(data) == length and following in (b"", struct.pack("<Q", _MAGIC)[: len(following)]):
            yield _Record(kind, inode, offset, data)
            at = body + length
        else:
            # Its process was killed in the middle of it: it had no effect yet.
            at = body
