"""Memory: what a worker holds while it is thrown at, and after much work."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import Plan, throw
from bench.report import Measured
from bench.scale import SMALL, Scale
from bench.stage import Server, Stage
from bench.throughput import depot_offers, event_pages, stock_pages

_MOST_MB = 200.0
_THROWERS = 8
_PIECE = 65_536
_WITHIN = 120.0


def of_a_worker(stage: Stage, scale: Scale) -> list[Measured]:
    """The worker's resident memory at its highest."""
    database = stage.database(SMALL)
    service = stage.service(database)
    found = []
    for chunked in (False, True):
        _forget_the_peak(service.pid)
        arrived, answers = _thrown_at(service, scale.body, chunked)
        way = "chunked" if chunked else "with Content-Length"
        found.append(
            Measured(
                f"Memory of a worker while a body of {scale.body / 1e6:,.0f} MB is thrown at it, "
                f"{way}",
                _peak_mb(service.pid),
                f"{_THROWERS} at a time, {arrived / 1e6:,.0f} MB sent before it hung up; "
                f"answers: {', '.join(sorted(answers))}",
                most=_MOST_MB,
                unit=" MB",
            )
        )
    _forget_the_peak(service.pid)
    reads = stock_pages() + event_pages(database)
    writes = depot_offers(database)
    done = 0
    for calls, share, keyed in ((reads, 0.8, False), (writes, 0.2, True)):
        key = service.provider
        most = round(scale.requests * share)
        plan = Plan(service.port, calls, 32, 1800, most, key=key, keyed=keyed)
        done += throw(plan).answers
    found.append(
        Measured(
            f"Memory of a worker over {done:,} requests, at its highest",
            _peak_mb(service.pid),
            f"four searches and pages of the feed to one offer; {now_mb(service.pid):.0f} MB at "
            "the end",
            most=_MOST_MB,
            unit=" MB",
        )
    )
    return found


def _thrown_at(service: Server, size: int, chunked: bool) -> tuple[int, set[str]]:
    """Several bodies at once; how many bytes were taken, and what was answered."""
    outcomes: list[tuple[int, str]] = []
    throwers = [
        threading.Thread(
            target=lambda: outcomes.append(_throw(service, size, chunked)), daemon=True
        )
        for _ in range(_THROWERS)
    ]
    for thrower in throwers:
        thrower.start()
    for thrower in throwers:
        thrower.join(_WITHIN)
    if len(outcomes) < _THROWERS:
        raise RuntimeError(f"{_THROWERS - len(outcomes)} bodies were still being sent at the end")
    return sum(sent for sent, _ in outcomes), {answer for _, answer in outcomes}


def _throw(service: Server, size: int, chunked: bool) -> tuple[int, str]:
    head = (
        "POST /v1/offers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {service.provider}\r\n"
    )
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {size}\r\n\r\n"
    sent = 0
    until = time.monotonic() + _WITHIN
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        try:
            connection.sendall(head.encode())
            for piece in _pieces(size, chunked):
                connection.sendall(piece)
                sent += len(piece)
                if time.monotonic() > until:
                    break
        except OSError:
            pass  # It hung up, which is its right; what it said before is read below.
        try:
            status = connection.recv(64).split(b" ", 2)[1].decode()
        except (OSError, IndexError):
            status = "hung up"
    return sent, status


def _pieces(size: int, chunked: bool) -> Iterator[bytes]:
    piece = b" " * _PIECE
    whole = f"{_PIECE:x}\r\n".encode() + piece + b"\r\n" if chunked else piece
    for _ in range(size // _PIECE):
        yield whole
    rest = size % _PIECE
    if rest:
        yield f"{rest:x}\r\n".encode() + piece[:rest] + b"\r\n" if chunked else piece[:rest]
    if chunked:
        yield b"0\r\n\r\n"


def _forget_the_peak(pid: int) -> None:
    # 5: the peak begins anew at what is held now (proc(5)).
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak_mb(pid: int) -> float:
    return _status_mb(pid, "VmHWM")


def now_mb(pid: int) -> float:
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status does not tell {name}")
