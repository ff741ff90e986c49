"""flyball keeps machine-learning models true in production: declare a model once, with proof of every step."""
