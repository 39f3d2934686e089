"""What a run says of itself: metrics, calibration, values of rows."""
