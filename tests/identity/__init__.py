"""Generated searches, sent to an engine and through a proxy whose scorer keeps its order: nothing may differ."""
