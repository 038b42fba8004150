"""Generated searches, sent to an engine and through a proxy whose scorer keeps the engine's order: nothing may differ."""
