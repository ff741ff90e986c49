"""Pure statistics of the decisions: intervals, sequential tests, distances, calibration. NumPy and scipy.special only."""
