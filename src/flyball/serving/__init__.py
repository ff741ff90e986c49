"""Gateway, workers, supervisor, prediction log, routes."""
