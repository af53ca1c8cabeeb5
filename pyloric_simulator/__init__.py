"""The crustacean pyloric circuit of Prinz, Bucher and Marder (2004), simulated in JAX."""

__version__ = "0.1.0"
