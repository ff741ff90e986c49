"""Feature views online: what of their rows is kept, how it is put there, and how values are read of it."""
