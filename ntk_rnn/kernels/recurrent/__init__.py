"""The kernels of infinitely wide recurrent networks with any activation."""
