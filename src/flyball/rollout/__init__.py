"""Plans, decision rules and states of a release."""
