"""Data sets written in the formats that ``formats`` reads."""
