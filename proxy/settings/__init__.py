"""The proxy's settings: one table, from which come the file's reader, environment variables, flags and their page."""

from proxy.settings.errors import SettingsError
from proxy.settings.flags import add_arguments, flags_from
from proxy.settings.load import load_settings
from proxy.settings.model import Listen, Rule, Settings
from proxy.settings.redact import redacted
from proxy.settings.target import TargetPattern
from proxy.settings.template import Field, Literal, Template, TemplateError, parse_template

__all__ = [
    "Field",
    "Listen",
    "Literal",
    "Rule",
    "Settings",
    "SettingsError",
    "TargetPattern",
    "Template",
    "TemplateError",
    "add_arguments",
    "flags_from",
    "load_settings",
    "parse_template",
    "redacted",
]
