"""One life of one candidate: how it begins, the memory that it shares with us, what it says."""
