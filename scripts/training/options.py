"""Options of a recipe's data source, checked: what is wrong is said in one line that names the option."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from proxy.evaluate.qrels import BadInput

_SECRETS = ("user", "api_key")
"""Never shown."""


class Options:
    """The options of one source. Each getter raises `BadInput` for a value of another kind than it gives."""

    def __init__(self, values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        """Take the options.

        Args:
            values: option -> value.
            known: all options there are.
            where: what the options belong to; messages start with it.

        Raises:
            BadInput: an option is unknown.
        """
        self.where = where
        self._values = values
        names = sorted(known)
        for name in values:
            if name not in names:
                close = difflib.get_close_matches(str(name), names, 1)
                hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(names)}"
                raise BadInput(f"{where}: unknown option {name!r}; {hint}")

    def has(self, name: str) -> bool:
        """Return whether the option is given."""
        return self._values.get(name) is not None

    def path(self, name: str) -> Path:
        """Return an option that must be given, a file."""
        value = self._values.get(name)
        if not isinstance(value, (str, Path)) or not str(value):
            raise BadInput(f"{self.where}: {name} must name a file, found {value!r}")
        path = Path(value).expanduser()
        if not path.is_file():
            raise BadInput(f"{path}: no such file ({self.where}, {name})")
        return path

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text that is not empty; without a default it must be given. A date, as YAML reads one, is a text."""
        value = self._values.get(name, default)
        if isinstance(value, date):
            return value.isoformat()
        if not isinstance(value, str) or not value:
            found = "" if name in _SECRETS else f", found {value!r}"
            raise BadInput(f"{self.where}: {name} must be a text{found}")
        return value

    def number(self, name: str, default: float, low: float = 0.0) -> float:
        """Return a number from ``low`` on."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < math.inf:
            raise BadInput(f"{self.where}: {name} must be a number from {low:g} on, found {value!r}")
        return float(value)

    def whole(self, name: str, default: int, low: int = 1) -> int:
        """Return a whole number from ``low`` on."""
        value = self.number(name, default, low)
        if not value.is_integer():
            raise BadInput(f"{self.where}: {name} must be a whole number, found {value:g}")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is not given."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise BadInput(f"{self.where}: {name} must be true or false, found {value!r}")
        return value

    def table(self, name: str) -> dict[str, float] | None:
        """Return a table of name -> number from 0 on; None: not given. Names may be written as numbers."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not value:
            raise BadInput(f"{self.where}: {name} must be a table of name: number, found {value!r}")
        table = {}
        for key, number in value.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf:
                raise BadInput(f"{self.where}: {name}: {key!r} must have a number from 0 on, found {number!r}")
            table[str(key)] = float(number)
        return table

    def names(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._values.get(name, default)
        if isinstance(value, str):
            value = (value,)
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, str) for one in value):
            raise BadInput(f"{self.where}: {name} must be a list of texts, found {value!r}")
        return tuple(value)
