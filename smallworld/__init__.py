"""A drawn world, small enough that models of the real architectures learn it on a CPU."""
