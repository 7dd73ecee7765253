"""The commands ``fit`` and ``predict``: from a file to a report and a model, and to predictions."""
