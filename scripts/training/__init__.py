"""Training of cross-encoders: what is trained on, and how."""
