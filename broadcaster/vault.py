"""Secrets: Meta's tokens encrypted at rest, our own tokens made and hashed."""

import base64
import hashlib
import hmac
import os
import secrets
import string
from pathlib import Path

from cryptography.exceptions import InvalidKey
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from broadcaster.errors import Misconfigured

KEY_FILE = "secret.key"
_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH = 12, 32


class Vault:
    """Encrypts with the first key and reads with any of them.

    To rotate, put a new key first; what is stored is re-encrypted when it is next written. `was_emptied`
    where the key was made in a key file that somebody had emptied: the keys before are lost.
    """

    def __init__(self, keys: list[str], was_emptied: bool = False):
        self.was_emptied = was_emptied
        self.marks = [hashlib.sha256(f"mark of {key}".encode()).hexdigest()[:16] for key in keys]
        """By which keys are recognised, in their order; they tell nothing of them."""
        self._first = keys[0] if keys else ""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise Misconfigured("the key file or BROADCASTER_SECRET_KEY holds what is not a key") from None

    def lock(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def unlock(self, locked: str) -> str:
        """Raises Misconfigured when no key of this installation fits."""
        try:
            return self._fernet.decrypt(locked.encode()).decode()
        except InvalidToken:
            raise Misconfigured(
                "a stored secret cannot be read with the keys in secret.key: restore the right key file"
            ) from None

    def key_for(self, purpose: str) -> str:
        """A key for signing, of this installation and this purpose alone."""
        return hmac.new(self._first.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def open_vault(data_dir: Path, given: str | None = None) -> Vault:
    """The vault with the keys that are given, parted by commas or blanks; else that of this data directory.

    Its key file (0600) is made on first use, or where it is empty.
    """
    if given:
        return Vault(given.replace(",", " ").split())
    path = data_dir / KEY_FILE
    was_emptied = path.exists() and not path.read_text().strip()
    if was_emptied:
        path.unlink()
    if not path.exists():
        _create(path, Fernet.generate_key().decode() + "\n")
    return Vault(path.read_text().split(), was_emptied)


def new_token(prefix: str) -> tuple[str, str]:
    """A fresh API token and its public id: <prefix>_<id><secret>, 190 bits of chance."""
    token_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{prefix}_{token_id}{secret}", token_id


def token_id(token: str) -> str | None:
    """The public id inside a token, or None if it has not the form of one of ours."""
    body = token.rpartition("_")[2]
    return body[:_ID_LENGTH] if len(body) == _ID_LENGTH + _SECRET_LENGTH and body.isalnum() else None


def hashed(token: str) -> str:
    """What is stored of a token. A plain hash suffices: the secret is random, not chosen."""
    return hashlib.sha256(token.encode()).hexdigest()


def stretched(password: str) -> str:
    """What is stored of a password a person chose: slow to try, with a salt of its own."""
    salt = secrets.token_bytes(16)
    made = _scrypt(salt).derive(password.encode())
    return f"{base64.b64encode(salt).decode()} {base64.b64encode(made).decode()}"


def fits(password: str, stored: str) -> bool:
    """Whether a password is the one that was stored."""
    salt, made = (base64.b64decode(part) for part in stored.split())
    try:
        _scrypt(salt).verify(password.encode(), made)
    except InvalidKey:
        return False
    return True


def _scrypt(salt: bytes) -> Scrypt:
    # 32 MiB and a tenth of a second (OWASP, password storage).
    return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1)


def same(left: str, right: str) -> bool:
    """Equality in constant time."""
    return secrets.compare_digest(left.encode(), right.encode())


def _create(path: Path, text: str) -> None:
    """Write a whole file that only we may read; a second process that is faster wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
