"""The Python API: `Ranker`, studies, reports."""
