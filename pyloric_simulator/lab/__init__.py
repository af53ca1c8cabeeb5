"""Experiments: clamps, noise, temperature, energy, regulation, phase response, snapshots."""
