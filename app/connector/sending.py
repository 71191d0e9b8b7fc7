"""Send what is in the outbox, piece by piece, in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.client.errors import Refused, Unreachable
from app.client.exchange import Exchange
from app.client.shown import RowFault
from app.connector.outbox import Entry, Outbox

_FINAL = frozenset({409, 413, 415, 422})
"""What sending again would not mend, in contrast to a key that lacks a scope."""

Told = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class Sum:
    """What became of a file."""

    rows: int
    created: int
    changed: int
    unchanged: int
    withdrawn: int
    refused: int
    untold: int
    """Faults of which the exchange told the number alone."""

    @classmethod
    def of(cls, entry: Entry) -> "Sum":
        """Of all pieces that the exchange has answered for."""
        total = [0] * 7
        for report in entry.reports():
            figures = (
                report["rows"],
                report["created"],
                report["changed"],
                report["unchanged"],
                report["withdrawn"],
                report["refused"],
                report["errors_total"] - len(report["errors"]),
            )
            total = [a + b for a, b in zip(total, figures, strict=True)]
        return cls(*total)


def faults(entry: Entry) -> Iterator[RowFault]:
    """The rows that were refused, by their number in the file."""
    for report in entry.reports():
        yield from report["errors"]


async def send(entry: Entry, exchange: Exchange, told: Told, *, dry_run: bool = False) -> None:
    """Send what is left of a file. `told` hears of every piece.

    Raises Unreachable where the link is down; Refused where the exchange refuses the key and the
    file is as good as before. A file that is refused for what it is gets a `refusal`.
    """
    manifest = entry.manifest
    for n in entry.unsent():
        try:
            report = await exchange.import_rows(
                manifest.kind,
                entry.piece(n),
                manifest.form,
                mode=manifest.mode,
                dry_run=dry_run,
                charset=manifest.charset,
                as_of=manifest.counted_at,
                once=entry.key(n),
                patience=exchange.rules.patience,
            )
        except Refused as refusal:
            if refusal.status not in _FINAL:
                raise
            entry.refused({**refusal.problem, "status": refusal.status})
            return
        entry.answered(n, report)
        told(entry)


async def send_all(
    outbox: Outbox,
    exchange: Exchange,
    told: Told,
    done: Told,
    waits: Callable[[Unreachable], None] | None,
) -> None:
    """Send everything that is to go to this exchange. `done` gets each file at its end.

    With `waits`, which hears of it, it stays until the link is back; otherwise Unreachable ends it.
    """
    for entry in outbox.entries():
        if entry.manifest.url != exchange.url or entry.refusal:
            continue
        while True:
            try:
                await send(entry, exchange, told)
                break
            except Unreachable as gone:
                if waits is None:
                    raise
                waits(gone)
        done(entry)
        if not entry.refusal:
            entry.drop()
