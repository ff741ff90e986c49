"""The story in a minute: real processes, real traffic, a model that decays and is kept true."""
