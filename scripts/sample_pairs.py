"""Query and document pairs on which an exported model is checked: ours, or a file's."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

_SEARCHES: dict[str, tuple[str, ...]] = {
    "phone case without card holder": (
        "Slim silicone phone case, matte black, no wallet, wireless charging",
        "Leather wallet phone case with three card slots and a stand",
        "Card holder sticker for the back of a phone, pack of 2",
        "Tempered glass screen protector with mounting frame",
        "Garden hose 20 m with brass fittings",
    ),
    "running shoes women size 8": (
        "Lightweight women's running shoe, breathable mesh, size 8, coral",
        "Men's trail running shoe, waterproof, size 10",
        "Running socks, women, 6 pairs, cushioned",
        "Women's leather office shoe, low heel, size 8",
        "Shoe laces, elastic, no tie, white",
    ),
    "usb c charger 65w": (
        "65 W USB-C wall charger with two ports, foldable plug, for laptops and phones",
        "USB-C to USB-C cable, 2 m, 60 W, braided",
        "20W USB-A fast charger with micro cable",
        "Laptop sleeve 13 inch, grey felt",
        "Power bank 20000 mAh with USB-C in and out, 65 W",
    ),
    "cast iron skillet 12 inch": (
        "Pre-seasoned cast iron skillet, 12 inch, with helper handle",
        "Cast iron skillet 8 inch",
        "Non-stick aluminium frying pan, 30 cm, with glass lid",
        "Silicone handle cover for cast iron pans",
        "Chainmail scrubber for cast iron cookware",
    ),
    "dog food for puppies grain free": (
        "Grain-free dry food for puppies, chicken and peas, 5 kg",
        "Adult dog food with rice and lamb, 12 kg",
        "Puppy training pads, 100 pieces",
        "Grain free cat food, salmon, 12 tins",
        "Stainless steel dog bowl with rubber base",
    ),
    "wooden puzzle 3 year old": (
        "Wooden animal puzzle with large knobs for toddlers from 2 years",
        "1000 piece jigsaw puzzle, mountain lake",
        "Wooden building blocks, 50 pieces, from 12 months",
        "Puzzle book for adults, 200 crosswords",
        "Foam play mat with letters, 26 tiles",
    ),
    "led strip lights no remote": (
        "LED strip 5 m, warm white, plug and play with a switch on the cable",
        "RGB LED strip 10 m with 44-key remote and app control",
        "Replacement remote for LED strips",
        "Desk lamp with dimmer, brass",
        "",
    ),
    "ergonomic office chair lumbar support": (
        "Office chair with adjustable lumbar support, headrest and mesh back. The seat height goes from 44 to 54 cm "
        "and the armrests move in three directions; it carries up to 135 kg and comes with castors for hard floors.",
        "Lumbar cushion made of memory foam for car and chair",
        "Bar stool, set of 2, oak",
        "Standing desk converter, 80 cm wide",
        "Chair mat for carpets, 120 x 90 cm",
    ),
}


def built_in_pairs() -> list[tuple[str, str]]:
    """Return forty pairs of eight searches, from exact to unrelated, one of them with an empty document."""
    return [(query, text) for query, texts in _SEARCHES.items() for text in texts]


_FIELDS = (
    ("title", "product_title"),
    ("brand", "product_brand"),
    ("color", "product_color"),
    ("bullets", "bullet_points"),
)
"""Fields of a product, each under the names it is known by."""


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read pairs from JSON lines, plain or with .gz: ``query`` with ``text``, or with a product's fields.

    Of a product (``title``, ``brand``, ``color``, ``bullets`` or ``bullet_points``, ``description``) the text is the
    title alone, with the brand, or all of it, in turn from line to line: as different as what is served.

    Raises:
        ValueError: a line is something else, or there are fewer than ten; one line that says where.
    """
    pairs = []
    data = path.read_bytes()
    try:
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON lines: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            pairs.append((str(row["query"]), _text(row, number)))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f'{path}, line {number}: expected {{"query": ..., "text": ...}} or {{"query": ..., "title": ...}}: '
                f"{error!r}"
            ) from error
    if len(pairs) < 10:
        raise ValueError(f"{path} holds {len(pairs)} pairs; at least 10 are needed to compare two models")
    return pairs


def sample(pairs: list[tuple[str, str]], count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return so many pairs at random, the same with every call; all of them where there are no more."""
    return random.Random(seed).sample(pairs, len(pairs))[:count]


def _text(row: dict[str, Any], number: int) -> str:
    if "text" in row:
        return str(row["text"])
    fields = [next((str(row[name]) for name in names if row.get(name)), "") for names in _FIELDS]
    if not any(name in row for name in _FIELDS[0]):
        raise KeyError("text")
    fields.append(str(row.get("description") or row.get("product_description") or ""))
    kept = fields[: (1, 2, 4, 5)[number % 4]]
    return " ".join(" ".join(field.split()) for field in kept if field)
