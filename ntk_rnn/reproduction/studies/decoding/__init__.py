"""What Fig. 5 and Table 1 share: the recordings as windows, training, and reference decoders."""
