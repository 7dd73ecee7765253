"""Data sets as triangular least-squares problems, from arrays, streams or several devices."""
