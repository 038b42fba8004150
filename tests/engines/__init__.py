"""Real search engines for the tests, started from jars of Maven Central.

engine = start("es9")      # or es8, os, os3
engine.url
engine.stop()
"""

from tests.engines.process import Engine, EngineError, start
from tests.engines.releases import RELEASES, available, cache_folder

__all__ = ["RELEASES", "Engine", "EngineError", "available", "cache_folder", "start"]
