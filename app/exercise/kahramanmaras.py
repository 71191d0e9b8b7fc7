"""The data of the exercise: Kahramanmaraş, February 2023.

Real are the figures that stand in `Help.real`: what was sent, as the press and IFRC (emergency
appeal MDRTR004) reported it; counts differ by date. They were national aid, which the exercise
plays as if the societies had sent it. Everything else is synthetic and says so where it is stored:
what was asked for, how tonnes divide into items, warehouse totals (no society publishes its own),
days of travel, damage, loss, people. Places are real and approximate.
"""

from dataclasses import dataclass, field

SOCIETIES = ("TUR", "AZE", "KAZ", "KGZ", "UZB")

EMERGENCY = {
    "hazard": "earthquake",
    "country": "TUR",
    "lat": 37.58,
    "lon": 36.93,
    "started_on": "2023-02-06",
}
# The form of a GLIDE number is real, the number is not: it stays clear of the one that was given.
GLIDE = "EQ-2023-999999-TUR"

TENT, HEATER, GENERATOR = "HSHETENTF16C", "HHEASTOHWCTE", "EGENDIGE003T"
BLANKET, WOOL, PARCEL, NET = "HSHEBLANPHT1", "HSHEBLANWMT1", "KRELHYPA05P", "HSHEMNETRL"
FLOUR, RICE, PASTA = "FCERWHEAFL01", "FCERRICELGGR", "FCERPASTDW01"
RESCUE, MEDICINE = "usar", "emergency_medicine"


@dataclass(frozen=True)
class Site:
    """A place of a society."""

    society: str
    ref: str
    name: str
    lat: float
    lon: float
    kind: str = "warehouse"


SITES = (
    Site("TUR", "ankara", "Ankara tent factory", 39.93, 32.86),
    Site("AZE", "baku", "Baku warehouse", 40.41, 49.87),
    Site("AZE", "ganja", "Ganja warehouse", 40.68, 46.36),
    Site("KAZ", "almaty", "Almaty warehouse and base", 43.24, 76.89),
    Site("KGZ", "bishkek", "Bishkek warehouse and base", 42.87, 74.59),
    Site("UZB", "tashkent", "Tashkent warehouse and base", 41.31, 69.28),
)


@dataclass(frozen=True)
class Lot:
    """Stock of a society: a synthetic count, and its floor."""

    society: str
    site: str
    item: str
    quantity: int
    keep_back: int = 0
    good_for: int | None = None
    """Days from the day of the exercise; None: it does not expire."""


LOTS = (
    # One day of what Türk Kızılay's factory made in February 2023: ~500 tents (real).
    Lot("TUR", "ankara", TENT, 500),
    Lot("AZE", "baku", TENT, 11_000, 500),
    # 28,000 go at first; of the 6,000 that remain, two desks will want 4,000 each.
    Lot("AZE", "ganja", BLANKET, 36_000, 2_000),
    Lot("AZE", "ganja", HEATER, 21_000, 1_000),
    Lot("AZE", "baku", GENERATOR, 2_500, 100),
    Lot("AZE", "baku", FLOUR, 2_100_000, 100_000, 359),
    Lot("AZE", "baku", RICE, 750_000, 50_000, 572),
    Lot("AZE", "baku", PASTA, 320_000, 20_000, 633),
    Lot("AZE", "baku", PARCEL, 1_000, 200),
    Lot("KAZ", "almaty", TENT, 120, 20),
    Lot("KAZ", "almaty", WOOL, 15_000, 3_000),
    Lot("KAZ", "almaty", FLOUR, 60_000, 10_000, 359),
    Lot("KAZ", "almaty", NET, 5_000),
    Lot("KGZ", "bishkek", BLANKET, 6_000, 1_000),
    Lot("KGZ", "bishkek", FLOUR, 60_000, 10_000, 328),
    Lot("UZB", "tashkent", BLANKET, 25_000, 5_000),
    Lot("UZB", "tashkent", FLOUR, 450_000, 50_000, 387),
    Lot("UZB", "tashkent", RICE, 200_000, 20_000, 572),
)


@dataclass(frozen=True)
class Pool:
    """Volunteers of a society: a synthetic headcount."""

    society: str
    site: str
    skill: str
    headcount: int
    languages: tuple[str, ...]


POOLS = (
    Pool("AZE", "baku", RESCUE, 750, ("az", "tr", "ru")),
    Pool("AZE", "baku", MEDICINE, 200, ("az", "tr", "ru")),
    Pool("KAZ", "almaty", RESCUE, 120, ("kk", "ru", "tr")),
    Pool("KGZ", "bishkek", RESCUE, 80, ("ky", "ru", "tr")),
    Pool("UZB", "tashkent", RESCUE, 130, ("uz", "ru", "tr")),
)
POOLS_FROM, POOLS_UNTIL = "2023-02-06T06:00:00Z", "2023-04-30T18:00:00Z"
RESCUE_FROM, RESCUE_UNTIL = "2023-02-07T06:00:00Z", "2023-02-21T06:00:00Z"
EXTENDED_UNTIL = "2023-02-28T06:00:00Z"


@dataclass(frozen=True)
class Need:
    """A line of a request: an item or a skill, and how much of it (synthetic)."""

    name: str
    code: str
    requested: int


@dataclass(frozen=True)
class Request:
    """What Türkiye asks for."""

    title: str
    needed_by: str
    place: tuple[str, float, float]
    needs: tuple[Need, ...]
    priority: str = "critical"


_CITY = ("Kahramanmaraş airport", 37.54, 36.95)
REQUESTS = (
    Request(
        "Search and rescue, and medics",
        "2023-02-07T18:00:00Z",
        _CITY,
        (Need("rescuers", RESCUE, 1_000), Need("medics", MEDICINE, 200)),
    ),
    Request(
        "Shelter and warmth",
        "2023-02-10T12:00:00Z",
        _CITY,
        (
            Need("tents", TENT, 12_000),
            Need("blankets", BLANKET, 60_000),
            Need("heaters", HEATER, 25_000),
            Need("generators", GENERATOR, 2_500),
        ),
    ),
    Request(
        "Food",
        "2023-02-12T12:00:00Z",
        _CITY,
        (
            Need("flour", FLOUR, 2_500_000),
            Need("rice", RICE, 900_000),
            Need("pasta", PASTA, 300_000),
        ),
        "high",
    ),
    Request(
        "Blankets for Gaziantep",
        "2023-02-11T12:00:00Z",
        ("Gaziantep", 37.07, 37.38),
        (Need("blankets, Gaziantep", BLANKET, 4_000),),
        "high",
    ),
    Request(
        "Blankets for Pazarcık",
        "2023-02-11T12:00:00Z",
        ("Pazarcık", 37.49, 37.30),
        (Need("blankets, Pazarcık", BLANKET, 4_000),),
        "high",
    ),
    Request(
        "Shelter for Adıyaman",
        "2023-02-13T12:00:00Z",
        ("Adıyaman", 37.76, 38.28),
        (Need("tents, Adıyaman", TENT, 400), Need("blankets, Adıyaman", BLANKET, 5_000)),
        "high",
    ),
)
PLANNED = "tents, Adıyaman"
"""A need of the request that is left to the plan: nobody offers for it of itself."""
PLANNED_FIRST_AT, PLANNED_AT = "2023-02-06T06:00:00Z", "2023-02-08T18:00:00Z"


@dataclass(frozen=True)
class Load:
    """What a journey carries of a line of its offer, and what is found at the receipt."""

    line: int
    quantity: int
    damaged: int = 0
    missing: int = 0
    note: str | None = None


@dataclass(frozen=True)
class Journey:
    """One journey of goods: the places it passes, and how it ends."""

    mode: str
    waybill: str
    loads: tuple[Load, ...]
    places: tuple[tuple[str, str], ...] = ()
    ends: str = "received"
    """`received`, `lost`, `on the way`, or `planned` where it has not left."""


@dataclass(frozen=True)
class Line:
    """A line of an offer: for which need, from what, and how much of it Türkiye accepts."""

    need: str
    code: str
    offered: int
    accepted: int


@dataclass(frozen=True)
class Help:
    """An offer of a society, and what becomes of it."""

    society: str
    lines: tuple[Line, ...]
    real: str | None
    """What was reported of 2023; None: the figure is synthetic altogether."""
    journeys: tuple[Journey, ...] = field(default=())


def _whole(need: str, code: str, quantity: int) -> Line:
    return Line(need, code, quantity, quantity)


_GEORGIA = (("Tbilisi", "2023-02-08T14:00:00Z"), ("Kars", "2023-02-09T08:00:00Z"))
_RAILWAY = (("Tbilisi, Baku–Tbilisi–Kars railway", "2023-02-09T20:00:00Z"),)
_GAZIANTEP = (("Gaziantep airport", "2023-02-09T05:00:00Z"),)
_SILK_ROAD = (
    ("Türkmenbaşy, ferry", "2023-02-11T10:00:00Z"),
    ("Baku", "2023-02-12T09:00:00Z"),
    ("Tbilisi", "2023-02-13T16:00:00Z"),
)

GOODS = (
    Help(
        "AZE",
        (_whole("tents", TENT, 10_000),),
        "10,000+ tents",
        (
            Journey("road", "SYN-AZE-01", (Load(0, 4_000),), _GEORGIA),
            Journey(
                "rail",
                "SYN-AZE-02",
                (Load(0, 4_000, damaged=6, note="One pallet of 6 was crushed."),),
                _RAILWAY,
            ),
            Journey("road", "SYN-AZE-03", (Load(0, 2_000),), _GEORGIA[:1], "on the way"),
        ),
    ),
    Help(
        "AZE",
        (_whole("blankets", BLANKET, 28_000),),
        "28,000 of 32,000 blankets",
        (
            Journey("road", "SYN-AZE-04", (Load(0, 16_000),), _GEORGIA),
            Journey(
                "road",
                "SYN-AZE-05",
                (
                    Load(
                        0,
                        12_000,
                        damaged=400,
                        missing=20,
                        note="A pallet of 400 was wet through; a bale of 20 was not there.",
                    ),
                ),
                _GEORGIA,
            ),
        ),
    ),
    Help(
        "AZE",
        (_whole("heaters", HEATER, 20_000), _whole("generators", GENERATOR, 2_400)),
        "20,000+ heaters, ~2,400 generators",
        (
            Journey("road", "SYN-AZE-06", (Load(0, 12_000), Load(1, 1_400)), _GEORGIA),
            Journey("road", "SYN-AZE-07", (Load(0, 5_000), Load(1, 1_000)), (), "on the way"),
            Journey("rail", "SYN-AZE-08", (Load(0, 3_000),), (), "planned"),
        ),
    ),
    Help(
        "AZE",
        (
            _whole("flour", FLOUR, 2_000_000),
            _whole("rice", RICE, 700_000),
            _whole("pasta", PASTA, 300_000),
        ),
        "~3,000 t of food; their division into items is synthetic",
        (
            Journey("rail", "SYN-AZE-09", (Load(0, 2_000_000),), _RAILWAY),
            Journey("road", "SYN-AZE-10", (Load(1, 700_000), Load(2, 300_000)), _GEORGIA),
        ),
    ),
    Help(
        "KAZ",
        # Wool stands in for synthetic, 1:1. Türkiye takes 8,000 of them: 14 t, which with 41 t of
        # flour are the 55 t.
        (_whole("tents", TENT, 100), Line("blankets", WOOL, 12_000, 8_000)),
        "100+ yurts, entered as tents; 14 of 55 t, their division into items is synthetic",
        (Journey("air", "SYN-KAZ-01", (Load(0, 100), Load(1, 8_000)), _GAZIANTEP),),
    ),
    Help(
        "KAZ",
        (_whole("flour", FLOUR, 41_000),),
        "41 of 55 t; their division into items is synthetic",
        (Journey("air", "SYN-KAZ-02", (Load(0, 41_000),), _GAZIANTEP),),
    ),
    Help(
        "KGZ",
        (_whole("flour", FLOUR, 47_000),),
        "47 of 55 t; their division into items is synthetic",
        (Journey("air", "SYN-KGZ-01", (Load(0, 47_000),), _GAZIANTEP),),
    ),
    Help(
        "UZB",
        (_whole("blankets", BLANKET, 20_000),),
        "40 of 600 t; their division into items is synthetic",
        (Journey("road", "SYN-UZB-01", (Load(0, 20_000),), _SILK_ROAD),),
    ),
    Help(
        "UZB",
        (_whole("flour", FLOUR, 400_000), _whole("rice", RICE, 160_000)),
        "560 of 600 t; their division into items is synthetic",
        (
            Journey("road", "SYN-UZB-02", (Load(0, 380_000), Load(1, 160_000)), _SILK_ROAD),
            Journey("road", "SYN-UZB-03", (Load(0, 20_000),), _SILK_ROAD[:1], "lost"),
        ),
    ),
)

# The lot of the two desks: 4,000 for Gaziantep and 4,000 for Pazarcık, from 6,000. Whichever gets
# it, Azerbaijan's blankets are then 32,000 (real); Kyrgyzstan helps the other place, which makes
# its 55 t full.
CONTESTED = ("blankets, Gaziantep", "blankets, Pazarcık")
CONTESTED_QUANTITY = 4_000
CONTESTED_BY = {
    "AZE": (
        "4,000 of 32,000 blankets",
        Journey("road", "SYN-AZE-11", (Load(0, CONTESTED_QUANTITY),), _GEORGIA),
    ),
    "KGZ": (
        "8 of 55 t, as blankets",
        Journey("air", "SYN-KGZ-02", (Load(0, CONTESTED_QUANTITY),), _GAZIANTEP),
    ),
}

PEOPLE = (
    Help(
        "AZE",
        (_whole("rescuers", RESCUE, 690), _whole("medics", MEDICINE, 177)),
        "867 rescuers and medics; their division is synthetic",
    ),
    Help("KAZ", (_whole("rescuers", RESCUE, 100),), "~100 rescuers"),
    Help("KGZ", (_whole("rescuers", RESCUE, 63),), "63 rescuers"),
    Help("UZB", (_whole("rescuers", RESCUE, 100),), "100 rescuers"),
)
LONGEST_THERE = "AZE"
"""Whose people are asked to stay; the others go home."""

UNSOLICITED = Help(
    "AZE",
    (Line("", PARCEL, 800, 500),),
    None,
    (Journey("road", "SYN-AZE-12", (Load(0, 500),), _GEORGIA),),
)
UNWANTED = Help("KAZ", (Line("", NET, 2_000, 0),), None)


def told(real: str | None) -> str:
    """What an offer says about the origin of its figures, for whoever reads it later."""
    if real is None:
        return "Exercise: synthetic."
    return f"Exercise. Reported in 2023: {real}. Days, losses and stock are synthetic."
