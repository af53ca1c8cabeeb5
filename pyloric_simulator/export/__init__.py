"""Models as files and programs of other simulators."""
