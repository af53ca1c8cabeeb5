"""The parts of the explorer: set-ups and their runs, what leaves it, its knobs, its pictures, and the app."""
