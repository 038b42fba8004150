"""The steps of `scripts/export_model.py`: one module each, from the exported graph to the card."""
