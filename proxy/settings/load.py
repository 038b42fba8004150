"""Reads the settings from file, environment and flags, and refuses what is wrong before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proxy.settings.environment import given_in_environment
from proxy.settings.errors import SettingsError, did_you_mean
from proxy.settings.given import Given, read_file
from proxy.settings.model import Rule, Settings
from proxy.settings.table import CONFIG_ENV, RULE_KEYS, SETTINGS, Setting, show_value
from proxy.settings.template import TemplateError


@dataclass(frozen=True, slots=True)
class _Read:
    """A value that has been read, and where it was written."""

    value: Any
    place: str


def load_settings(config: Path | None, env: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """Read the settings; `PRECEDENCE` says which of several counts. All are checked, those that do not count too.

    Args:
        config: the YAML file; None: the one that ``RERANK_PROXY_CONFIG`` names, if any.
        env: the process's environment; variables without our prefix are left alone.
        flags: values by the names of settings and of rule keys, as from `flags_from`.

    Raises:
        SettingsError: a setting is wrong or unknown, or two contradict each other.
    """
    if config is None and env.get(CONFIG_ENV):
        config = Path(env[CONFIG_ENV])
    in_file = _given_in_file(config) if config is not None else {}
    on_command_line, of_rule = _given_as_flags(flags)
    read: dict[str, _Read] = {}
    for source in (in_file, given_in_environment(env), on_command_line):
        for name, given in source.items():
            read[name] = _Read(_read(SETTINGS[name], name, given), given.place)
    if of_rule:
        read["rules"] = _built_in_rule(of_rule, read.get("rules"))
    _check_together(read)
    return Settings(**{name: one.value for name, one in read.items()})


def _given_in_file(config: Path) -> dict[str, Given]:
    top = read_file(config)
    if top.value is None:
        return {}
    if not isinstance(top.value, dict):
        raise SettingsError("", top.place, "holds no settings; write lines such as upstream: http://localhost:9200")
    for name, given in top.value.items():
        if name in SETTINGS:
            continue
        if name in RULE_KEYS:
            advice = f"is a rule's key; write it under rules, as in rules: [{{{name}: {RULE_KEYS[name].example}}}]"
            raise SettingsError(name, given.place, advice)
        near = did_you_mean(name, SETTINGS)
        raise SettingsError(name, given.place, f"there is no such setting{near}; correct the name or remove it")
    return top.value


def _given_as_flags(flags: Mapping[str, object]) -> tuple[dict[str, Given], dict[str, Given]]:
    """Split the flags into settings and keys of the built-in rule."""
    settings: dict[str, Given] = {}
    of_rule: dict[str, Given] = {}
    for name, value in flags.items():
        row = SETTINGS.get(name) or RULE_KEYS.get(name)
        if row is None or row.flag is None:
            known = [row.name for row in (*SETTINGS.values(), *RULE_KEYS.values()) if row.flag]
            raise SettingsError(name, "flag", f"there is no such flag{did_you_mean(name, known)}")
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        given = Given(row.flag, text)
        (settings if name in SETTINGS else of_rule)[name] = given
    return settings, of_rule


def _built_in_rule(given: dict[str, Given], rules: _Read | None) -> _Read:
    first = next(iter(given.values()))
    if rules is not None:
        name = next(iter(given))
        advice = f"sets the built-in rule, but there are rules in {rules.place}; write {name} there"
        raise SettingsError(name, first.place, advice)
    return _Read(
        (replace(Rule(), **{name: _read(RULE_KEYS[name], name, one) for name, one in given.items()}),), first.place
    )


def _read(row: Setting, name: str, given: Given) -> Any:
    if row.name == "rules":
        return _read_rules(given)
    if given.value is None:
        if row.optional:
            return None
        raise _wrong(
            row, name, given, f"there is no value; leave it out for the default {show_value(row, row.default)}, or"
        )
    if not row.kind.many:
        return _read_one(row, name, given)
    items = given.value if isinstance(given.value, list) else [given]
    # A comma before an `@` stands in a password: such a text is refused whole, so that no half of it is shown.
    if isinstance(given.value, str) and "@" not in given.value:
        items = [replace(given, value=one.strip()) for one in given.value.split(",")]
    if not items:
        raise _wrong(row, name, given, "the list is empty;")
    several = len(items) > 1
    return tuple(_read_one(row, f"{name}[{at}]" if several else name, one) for at, one in enumerate(items))


def _read_one(row: Setting, name: str, given: Given) -> Any:
    if not isinstance(given.value, str):
        is_mapping = isinstance(given.value, dict)
        what = "a mapping" if is_mapping else "a list" if given.value is not None else "nothing"
        hint = " in double quotes" if is_mapping else ""
        raise _wrong(row, name, given, f"there is {what} where one value is wanted;", hint)
    try:
        value = row.kind.read(given.value)
        if isinstance(value, Path):
            return _existing(value, row.kind.must_be, given)
        if row.name == "model" and "/" in given.value:
            return str(_resolved(Path(given.value), given))
    except TemplateError as error:
        raise SettingsError(name, given.place, str(error)) from None
    except ValueError as error:
        raise _wrong(row, name, given, f"{error};") from None
    return value


def _wrong(row: Setting, name: str, given: Given, problem: str, hint: str = "") -> SettingsError:
    return SettingsError(name, given.place, f"{problem} write {row.kind.accepts}{hint}, for example {row.example}")


def _resolved(path: Path, given: Given) -> Path:
    try:
        return given.folder / path.expanduser()
    except RuntimeError as error:  # `~somebody` whom this machine does not know
        raise ValueError(f"{path}: {error}") from None


def _existing(path: Path, what: str, given: Given) -> Path:
    path = _resolved(path, given)
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if not (path.is_dir() if what == "folder" else not path.is_dir()):
        raise ValueError(f"{path} is no {what}")
    return path


def _read_rules(given: Given) -> tuple[Rule, ...]:
    if given.value is None:
        advice = "there is no value; write [] to rerank nothing, or leave rules out for one rule with all defaults"
        raise SettingsError("rules", given.place, advice)
    if not isinstance(given.value, list):
        advice = "this is no list; begin each rule with a dash, as in - target: products*"
        raise SettingsError("rules", given.place, advice)
    return tuple(_read_rule(f"rules[{at}]", one) for at, one in enumerate(given.value))


def _read_rule(name: str, given: Given) -> Rule:
    if not isinstance(given.value, dict):
        raise SettingsError(
            name, given.place, "this is no rule; write its keys as name: value, as in target: products*"
        )
    read: dict[str, Any] = {}
    for key, one in given.value.items():
        full = f"{name}.{key}"
        if key in SETTINGS:
            raise SettingsError(
                full, one.place, f"is no key of a rule; write {key} at the left margin, outside of rules"
            )
        if key not in RULE_KEYS:
            near = did_you_mean(key, RULE_KEYS)
            known = ", ".join(RULE_KEYS)
            raise SettingsError(full, one.place, f"a rule has no such key{near}; its keys are {known}")
        read[key] = _read(RULE_KEYS[key], full, one)
    return Rule(**read)


def _check_together(read: Mapping[str, _Read]) -> None:
    """Refuse settings that are each right but contradict each other.

    Raises:
        SettingsError: it names both.
    """

    def value_of(name: str) -> Any:
        return read[name].value if name in read else SETTINGS[name].default

    def place_of(name: str) -> str:
        return read[name].place if name in read else "default"

    def refuse(name: str, problem: str) -> SettingsError:
        return SettingsError(name, place_of(name), problem)

    if value_of("upstream_ca") is not None:
        if value_of("upstream_fingerprint") is not None:
            other = place_of("upstream_fingerprint")
            raise refuse("upstream_ca", f"has no effect beside upstream_fingerprint ({other}); keep one of them")
        if not value_of("upstream_verify"):
            other = place_of("upstream_verify")
            raise refuse("upstream_ca", f"has no effect while upstream_verify is false ({other}); keep one of them")
    total = value_of("max_buffered_bytes")
    for name in ("max_request_bytes", "max_response_bytes"):
        if value_of(name) > total:
            places = (
                f"{value_of(name)} bytes are more than max_buffered_bytes ({place_of('max_buffered_bytes')}), {total}"
            )
            raise refuse(name, f"{places}; lower the one or raise the other")
