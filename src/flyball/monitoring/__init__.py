"""Windows, drift, performance, alerts."""
