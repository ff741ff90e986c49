"""Who may do what, and who decides about whom."""
