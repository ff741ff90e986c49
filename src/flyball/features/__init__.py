"""Views declared once, computed by the same code for training and serving."""
