"""How the exercise is told: days, what each society does, what is refused, the board."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.client.errors import Refused

Json = dict[str, Any]

_COLOURS = {"TUR": "red", "AZE": "cyan", "KAZ": "yellow", "KGZ": "magenta", "UZB": "green"}
_HEADINGS = {
    "requested": "Asked",
    "offered": "Offered",
    "accepted": "Accepted",
    "dispatched": "Sent",
    "received": "Received",
    "damaged": "Damaged",
    "lost": "Lost",
    "on the way": "On way",
    "outstanding": "Open",
}
_WIDE = tuple(_HEADINGS)
_NARROW = tuple(name for name in _HEADINGS if name not in ("offered", "outstanding"))
_WIDTH = 104
"""Columns that the whole board needs; where the output is no terminal it has as many."""

Reported = dict[tuple[str, str], str]
"""What is real, by request line (or item, where nobody asked) and helping society."""

_NAMES = {
    "HSHETENTF16C": "family tents",
    "HSHEBLANPHT1": "blankets",
    "HSHEBLANWMT1": "wool blankets",
    "HHEASTOHWCTE": "tent heaters",
    "EGENDIGE003T": "generators",
    "KRELHYPA05P": "hygiene parcels",
    "HSHEMNETRL": "mosquito nets",
    "FCERWHEAFL01": "kg of wheat flour",
    "FCERRICELGGR": "kg of rice",
    "FCERPASTDW01": "kg of pasta",
    "usar": "rescuers",
    "emergency_medicine": "medics",
}


def amount(quantity: int, code: str) -> str:
    """So many of an item, or people with a skill, in words."""
    return f"{quantity:,} {_NAMES.get(code, code)}"


def listed(parts: Sequence[str]) -> str:
    """Parts with commas between them, and an `and` before the last."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


class Telling:
    """Writes the story as it happens."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal and self.console.width < _WIDTH:
            self.console.width = _WIDTH

    def day(self, when: str, title: str) -> None:
        """A new part of the story."""
        self.console.print()
        self.console.rule(Text.assemble((when, "bold"), f"  {title}"), align="left")

    def says(self, society: str, sentence: str) -> None:
        """What a society did."""
        self.console.print(Text.assemble((f"{society}  ", f"bold {_COLOURS[society]}"), sentence))

    def refuses(self, society: str, refusal: Refused) -> None:
        """What the exchange refused a society, and rightly."""
        problem = refusal.problem
        self.says(society, f"✗ {problem['status']} {refusal.code}: {problem['detail']}")

    def notes(self, sentence: str) -> None:
        """What there is to know beside it."""
        self.console.print(Text(f"     {sentence}", style="dim"))

    def fails(self, sentence: str) -> None:
        """What is not as it should be."""
        self.console.print(Text(sentence, style="bold red"))

    def plain(self, line: str) -> None:
        """A line that is to be copied: never wrapped."""
        self.console.print(Text(line), soft_wrap=True)

    def board(self, board: Json, reported: Reported) -> None:
        """The mobilisation table; `reported` is what is real of it."""
        shown = _WIDE if self.console.width >= _WIDTH else _NARROW
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=board["name"])
        table.add_column("What, and who helps", overflow="fold")
        for figure in shown:
            table.add_column(_HEADINGS[figure], justify="right", no_wrap=True)
        title = None
        for line in board["lines"]:
            if line["title"] != title:
                title = line["title"]
                table.add_row(Text(title, style="italic"))
            what, scale = _unit(line["item"] or line["skill"], [line, *line["societies"]])
            table.add_row(f" {what}", *_cells(line, shown, scale), style="bold")
            for given in line["societies"]:
                mark = _mark((line["line"], given["society"]) in reported)
                table.add_row(f"   {mark} {given['society']}", *_cells(given, shown, scale))
        if board["unsolicited"]:
            table.add_row(Text("Not asked for", style="italic"))
        for given in board["unsolicited"]:
            what, scale = _unit(given["item"] or given["skill"], [given])
            mark = _mark((given["item"], given["society"]) in reported)
            cells = _cells(given, shown, scale)
            table.add_row(f"   {mark} {given['society']}, {what}", *cells)
        self.console.print()
        self.console.print(table)
        self.notes(
            "● offered or sent as reported in 2023 (press, IFRC)   ○ synthetic. Synthetic as well: "
            "all that is asked for, damaged, lost or on its way, the division of tonnes into items "
            "and of people into skills, days, stock."
        )


def on_the_way(figures: Json) -> int:
    """What has left and is neither received nor lost."""
    arrived: int = figures["received"] + figures["damaged"] + figures["lost"]
    return int(figures["dispatched"]) - arrived


def _cells(figures: Json, shown: Sequence[str], scale: int) -> list[str]:
    full = {**figures, "on the way": on_the_way(figures)}
    return [f"{full[name] // scale:,}" if name in full else "" for name in shown]


def _unit(code: str, rows: Sequence[Json]) -> tuple[str, int]:
    """What is counted, and by how many: whole tonnes are shown as tonnes."""
    name = _NAMES.get(code, code)
    counted = [on_the_way(row) for row in rows]
    counted += [row[figure] for row in rows for figure in _HEADINGS if figure in row]
    if name.startswith("kg ") and not any(number % 1000 for number in counted):
        return f"t {name.removeprefix('kg ')}", 1000
    return name, 1


def _mark(real: bool) -> str:
    return "●" if real else "○"
