"""The settings as they may be shown."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from proxy.settings.model import Listen, Rule, Settings
from proxy.settings.table import SETTINGS
from proxy.settings.template import Template

HIDDEN = "***"


def redacted(settings: Settings) -> dict[str, object]:
    """Return all settings, ready for JSON; a secret that is set is ``***``, what is not set is None."""
    return {name: _shown(getattr(settings, name), row.secret) for name, row in SETTINGS.items()}


def _shown(value: object, secret: bool = False) -> object:
    if value is None:
        return None
    if secret:
        return HIDDEN
    if isinstance(value, (Listen, Path, Template)):
        return str(value)
    if isinstance(value, Rule):
        return {one.name: _shown(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return value
