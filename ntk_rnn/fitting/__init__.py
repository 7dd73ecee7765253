"""Impulse responses fitted to data, with a kernel and its hyper-parameters tuned by evidence."""
