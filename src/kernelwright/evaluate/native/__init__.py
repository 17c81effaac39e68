"""Our own small programs in C, beside what builds and finds them."""
