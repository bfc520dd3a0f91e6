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
    "museum": Table("paintings", words("Dawn, Haystack, Bridge, Quarry, Dancer, Vineyard, Regatta, Orchid, Chapel, Blizzard"),
                    {"style": words("baroque, cubist, romantic, gothic"), "hall": words("upper, lower, eastern, western")},
                    {"width": (20, 400), "height": (20, 300), "visitors": (50, 5000)}, "painter", words("Alvaro, Brandt, Cernik, Delorme, Ferrante")),
    "harbour": Table("ships", words("Albatross, Cormorant, Dolphin, Petrel, Nautilus, Seahorse, Tempest, Zephyr"),
                     {"cargo": words("timber, grain, cement, salt, bananas"), "flag": words("Maltese, Danish, Greek, Panamanian")},
                     {"length": (20, 350), "crew": (3, 80), "speed": (6, 34)}, "captain", words("Haraldsen, Ibarra, Kristof, Mensah, Novak")),
    "farm": Table("animals", words("Bella, Daisy, Duke, Ginger, Hazel, Misty, Patch, Rusty, Star, Willow"),
                  {"species": words("goat, sheep, cow, donkey, pig"), "barn": words("old, new, stone, hill")},
                  {"born": (2008, 2024), "litres": (0, 40), "offspring": (0, 12)}, "farmer", words("Aldous, Bramley, Cobb, Dimmock, Elwes")),
    "kitchen": Table("recipes", words("goulash, risotto, chowder, lasagne, curry, omelette, paella, dumplings, borscht, ratatouille"),
                     {"course": words("starter, main, dessert, side"), "season": words("spring, summer, autumn, winter")},
                     {"minutes": (5, 240), "servings": (1, 12), "calories": (90, 1200)}, "cook", words("Amato, Blanc, Chandra, Duval, Eriksen")),
    "cinema": Table("films", words("Avalanche, Backroads, Cipher, Driftwood, Eclipse, Foxglove, Gravity, Hourglass, Mirage, Nightfall"),
                    {"mood": words("comedy, drama, thriller, western"), "studio": words("Orion, Pelican, Quartz, Redwood")},
                    {"runtime": (70, 210), "tickets": (100, 60000), "awards": (0, 11)}, "director", words("Galland, Hirsch, Iwata, Joubert, Lindqvist")),
    "observatory": Table("stars", words("Altaris, Borealis, Cygnara, Draconis, Electra, Fornax, Hydrae, Lyrae, Pavonis, Vegara"),
                         {"constellation": words("swan, archer, scorpion, twins, scales"), "kind": words("giant, dwarf, pulsar, nova")},
                         {"distance": (4, 9000), "planets": (0, 9), "magnitude": (1, 20)}, "astronomer", words("Bessel, Cassini, Herschel, Leavitt, Oort")),
}  # fmt: skip
