"""The records of a run: metrics, calibration, values of rows, report."""
