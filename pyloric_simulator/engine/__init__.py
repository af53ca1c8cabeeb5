"""What the model needs to run: arrays laid out, gates evaluated, times recorded, arguments read. Nothing here is an equation of its own."""
