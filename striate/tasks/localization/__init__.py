"""One object per picture: its class and its box; or none."""
