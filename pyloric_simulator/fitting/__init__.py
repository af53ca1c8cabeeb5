"""Derivatives and what they are good for: named parameters, sensitivity, losses, fits, curves along valleys, inference, PyTorch."""
