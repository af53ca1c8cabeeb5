"""What goes out and comes in: results, recordings, the store of thermalized cells."""
