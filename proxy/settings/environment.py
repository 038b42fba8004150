"""Finds the settings among the environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from proxy.settings.errors import SettingsError, did_you_mean
from proxy.settings.given import Given, read_yaml
from proxy.settings.table import CONFIG_ENV, ENV_PREFIX, RULE_KEYS, SETTINGS

_OF_SERVICE = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def given_in_environment(env: Mapping[str, str]) -> dict[str, Given]:
    """Return the settings that have a variable, by name. An empty variable counts as not set.

    Raises:
        SettingsError: a variable begins with our prefix and is none of ours.
    """
    names = {row.env: row.name for row in SETTINGS.values()}
    found: dict[str, Given] = {}
    for variable, text in env.items():
        if variable == CONFIG_ENV or not variable.startswith(ENV_PREFIX) or _is_of_service(variable, text):
            continue
        if variable not in names:
            raise _unknown(variable, [*names, CONFIG_ENV])
        if not text:
            continue
        name = names[variable]
        found[name] = read_yaml(text, variable, Path()) if name == "rules" else Given(variable, text)
    return found


def _is_of_service(variable: str, text: str) -> bool:
    """Say whether Kubernetes set the variable: it does so for each Service, and one may be called ``rerank-proxy``."""
    return bool(_OF_SERVICE.fullmatch(variable) or (variable.endswith("_PORT") and _SERVICE_URL.match(text)))


def _unknown(variable: str, known: list[str]) -> SettingsError:
    key = variable.removeprefix(ENV_PREFIX).lower()
    if key in RULE_KEYS:
        flag = RULE_KEYS[key].flag
        advice = f"{key} belongs to a rule: write it into {ENV_PREFIX}RULES" + (f", or use {flag}" if flag else "")
        return SettingsError(variable, "environment", f"there is no such setting; {advice}")
    near = did_you_mean(key, [one.removeprefix(ENV_PREFIX).lower() for one in known])
    near = re.sub(r"mean (\w+)", lambda found: f"mean {ENV_PREFIX}{found[1].upper()}", near)
    return SettingsError(
        variable, "environment", f"there is no such setting{near}; correct the name or unset the variable"
    )
