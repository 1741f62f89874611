"""One file per outside world; they translate and decide nothing."""
