"""The cells of a grid: its lines in the ink, what they enclose, and its lattice."""
