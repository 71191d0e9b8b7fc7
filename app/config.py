"""Settings, read once from the environment (`KOMEK_*`)."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LEVELS = ("debug", "info", "warning", "error", "critical")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@]*)(:\d{1,5})?")


def _postgresql(url: str) -> str | None:
    """The URL where it can be one; it holds a password and is never repeated."""
    if not url:
        return None
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError("KOMEK_DATABASE_URL must begin with postgresql://")
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError(
            "KOMEK_DATABASE_URL must be postgresql://user:password@host:port,host:port/database; "
            "characters such as / and @ in the password are written as %2F and %40"
        )
    return url


def _folder(name: str, path: str) -> Path | None:
    """A folder that files can be put into; None where it is not named."""
    if not path:
        return None
    found = Path(path)
    if not found.is_dir() or not os.access(found, os.W_OK | os.X_OK):
        raise ValueError(f"{name} must be a folder that can be written to, not {path!r}")
    return found


@dataclass(frozen=True)
class Settings:
    """What an operator may set. Times are in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".komek")
    database_url: str | None = None
    workers: int = 1
    pool_size: int = 16
    pool_wait: float = 10.0
    statement_timeout: float = 15.0
    lock_timeout: float = 4.0
    limits: bool = True
    calls_per_second: int = 500
    queue: int = 500
    streams: int = 100
    body_limit: int = 1_048_576
    body_timeout: float = 20.0
    import_limit: int = 100 * 1_048_576
    import_rows: int = 500_000
    import_timeout: float = 600.0
    import_check: int = 180
    imports_at_once: int = 12
    metrics_dir: Path | None = None
    key_cache: float = 2.0
    offer_days: int = 7
    drain: float = 1.0
    heartbeat: float = 15.0
    webhook_allow_private: bool = False
    webhook_timeout: float = 20.0
    webhook_endpoints: int = 32
    plans_at_once: int = 1
    plan_wait: float = 60.0
    plan_memory: int = 2 << 30
    log_level: str = "info"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings; raises ValueError that names the variable which cannot be read."""
        env = os.environ if env is None else env

        def number(name: str, default: float, least: float, most: float) -> float:
            raw = env.get(f"KOMEK_{name}", "").strip()
            if not raw:
                return default
            try:
                value = float(raw)
            except ValueError:
                raise ValueError(f"KOMEK_{name} must be a number, not {raw!r}") from None
            if not least <= value <= most:
                raise ValueError(f"KOMEK_{name} must lie between {least:g} and {most:g}")
            return value

        def whole(name: str, default: int, least: int, most: int) -> int:
            value = number(name, default, least, most)
            if value != int(value):
                raise ValueError(f"KOMEK_{name} must be a whole number")
            return int(value)

        limits = (env.get("KOMEK_LIMITS") or "on").strip().lower()
        if limits not in ("on", "off"):
            raise ValueError("KOMEK_LIMITS must be on or off")
        pool_wait = number("POOL_WAIT", cls.pool_wait, 0.1, 60)
        lock_timeout = number("LOCK_TIMEOUT", cls.lock_timeout, 0.05, 600)
        if lock_timeout >= pool_wait:
            # Whoever waits for a lock holds a connection: all who wait for that one would give up
            # before it comes free.
            raise ValueError(
                f"KOMEK_LOCK_TIMEOUT ({lock_timeout:g}) must be shorter than KOMEK_POOL_WAIT "
                f"({pool_wait:g})"
            )
        level = (env.get("KOMEK_LOG_LEVEL") or cls.log_level).lower()
        if level not in _LEVELS:
            raise ValueError(f"KOMEK_LOG_LEVEL must be one of {', '.join(_LEVELS)}")
        return cls(
            host=env.get("KOMEK_HOST") or cls.host,
            port=whole("PORT", cls.port, 0, 65535),
            data_dir=Path(env.get("KOMEK_DATA_DIR") or cls.data_dir),
            database_url=_postgresql(env.get("KOMEK_DATABASE_URL", "").strip()),
            workers=whole("WORKERS", cls.workers, 1, 64),
            pool_size=whole("POOL_SIZE", cls.pool_size, 2, 200),
            pool_wait=pool_wait,
            statement_timeout=number("STATEMENT_TIMEOUT", cls.statement_timeout, 1, 600),
            lock_timeout=lock_timeout,
            limits=limits == "on",
            calls_per_second=whole("CALLS_PER_SECOND", cls.calls_per_second, 1, 100_000),
            queue=whole("QUEUE", cls.queue, 1, 100_000),
            streams=whole("STREAMS", cls.streams, 1, 100_000),
            body_limit=whole("BODY_LIMIT", cls.body_limit, 1024, 1 << 30),
            body_timeout=number("BODY_TIMEOUT", cls.body_timeout, 1, 600),
            import_limit=whole("IMPORT_LIMIT", cls.import_limit, 1024, 1 << 32),
            import_rows=whole("IMPORT_ROWS", cls.import_rows, 1, 5_000_000),
            import_timeout=number("IMPORT_TIMEOUT", cls.import_timeout, 1, 7200),
            import_check=whole("IMPORT_CHECK", cls.import_check, 1, 3600),
            imports_at_once=whole("IMPORTS_AT_ONCE", cls.imports_at_once, 1, 64),
            metrics_dir=_folder("KOMEK_METRICS_DIR", env.get("KOMEK_METRICS_DIR", "").strip()),
            key_cache=number("KEY_CACHE", cls.key_cache, 0, 4),
            offer_days=whole("OFFER_DAYS", cls.offer_days, 1, 90),
            drain=number("DRAIN", cls.drain, 0, 60),
            plans_at_once=whole("PLANS_AT_ONCE", cls.plans_at_once, 1, 64),
            plan_wait=number("PLAN_WAIT", cls.plan_wait, 0.1, 600),
            plan_memory=whole("PLAN_MEMORY", cls.plan_memory, 1 << 28, 1 << 40),
            heartbeat=number("HEARTBEAT", cls.heartbeat, 1, 300),
            webhook_allow_private=env.get("KOMEK_WEBHOOK_ALLOW_PRIVATE", "").strip() == "1",
            webhook_timeout=number("WEBHOOK_TIMEOUT", cls.webhook_timeout, 1, 30),
            webhook_endpoints=whole("WEBHOOK_ENDPOINTS", cls.webhook_endpoints, 0, 500),
            log_level=level,
        )
