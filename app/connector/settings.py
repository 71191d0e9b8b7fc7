"""What the connector is told: the exchange, the key, and where it keeps what must not be lost."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class Misused(Exception):
    """The command, its settings or a file are not as they must be: exit code 2."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one society's desk."""

    url: str
    key: str
    folder: Path

    @classmethod
    def read(cls, key_file: Path | None = None, env: Mapping[str, str] | None = None) -> "Settings":
        """From the environment; raises Misused with what to do."""
        env = os.environ if env is None else env
        url = env.get("KOMEK_URL", "").strip().rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise Misused(
                "Set KOMEK_URL to the address of the exchange, such as https://exchange.example."
            )
        key = env.get("KOMEK_KEY", "").strip()
        if key_file is not None:
            try:
                key = key_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Misused(f"The key file {key_file} cannot be read: {error}.") from None
        if not key or not key.isascii() or not key.isprintable():
            raise Misused("Set KOMEK_KEY to the key of this system, or give --key-file.")
        return cls(url, key, state_folder(env))


def state_folder(env: Mapping[str, str] | None = None) -> Path:
    """Where the outbox and the cursors are."""
    env = os.environ if env is None else env
    return Path(env.get("KOMEK_CONNECTOR_DIR") or Path.home() / ".komek-connector")
