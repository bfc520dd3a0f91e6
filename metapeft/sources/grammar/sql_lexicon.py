"""Tables that questions are asked about."""

from __future__ import annotations

from dataclasses import dataclass

from metapeft.sources.grammar.engine import words


@dataclass(frozen=True)
class Table:
    """A table: what one row is, its text columns with their values and its integer columns with their ranges."""

    plural: str
    names: tuple[str, ...]
    texts: dict[str, tuple[str, ...]]
    numbers: dict[str, tuple[int, int]]
    owner: str
    owner_names: tuple[str, ...]


PEOPLE = words(
    "Anna, Ben, Clara, David, Elena, Felix, Greta, Hassan, Ingrid, Jonas, Karim, Leila, Marta, Nikhil, Olga, Pedro"
)
TOWNS = words("Norbridge, Velmora, Brenning, Lowfield, Ashport, Rossvale, Harl, Dunmere, Tallis, Quillan")
COLOURS = words("red, blue, green, black, white, yellow, silver")
TABLES: dict[str, Table] = {
    "shop": Table("products", words("lamp, chair, kettle, rug, clock, vase, mirror, basket, shelf, towel"),
                  {"category": words("home, garden, office, kitchen"), "colour": COLOURS},
                  {"price": (5, 200), "stock": (0, 90), "year": (2010, 2024)}, "supplier", TOWNS),
    "school": Table("students", PEOPLE, {"subject": words("music, history, biology, art, chemistry"), "town": TOWNS},
                    {"age": (10, 19), "score": (20, 100), "absences": (0, 25)}, "teacher", words("Abbott, Berger, Castell, Dwyer, Farouk")),
    "library": Table("books", words("River, Ember, Harbour, Winter, Lantern, Orchard, Signal, Meadow, Compass, Tide"),
                     {"genre": words("novel, poetry, crime, travel, science"), "language": words("English, French, Polish, Arabic")},
                     {"pages": (60, 900), "year": (1920, 2024), "copies": (1, 15)}, "author", words("Moreau, Nakano, Okafor, Petrov, Silva")),
    "fleet": Table("vehicles", words("Falcon, Heron, Otter, Badger, Lynx, Marten, Swift, Raven"),
                   {"kind": words("truck, van, bus, tram"), "colour": COLOURS},
                   {"mileage": (100, 90000), "seats": (2, 60), "year": (1995, 2024)}, "depot", TOWNS),
    "clinic": Table("patients", PEOPLE, {"ward": words("north, south, east, west"), "diagnosis": words("flu, asthma, fracture, migraine")},
                    {"age": (1, 95), "visits": (1, 30), "weight": (8, 120)}, "doctor", words("Jansen, Kowal, Rahman, Tanaka, Varga")),
    "league": Table("players", PEOPLE, {"position": words("goalkeeper, defender, midfielder, striker"), "country": words("Norvan, Talia, Harland, Ostra")},
                    {"goals": (0, 40), "matches": (1, 60), "age": (16, 39)}, "club", TOWNS),
}  # fmt: skip
