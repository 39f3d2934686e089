"""Where a run's parameters, metrics and artifacts are kept track of."""
