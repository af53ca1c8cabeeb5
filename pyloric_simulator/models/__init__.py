"""Models beside the circuit of the paper: cells and networks of chosen channels, neurons of one's own equations, integrate-and-fire cells."""
