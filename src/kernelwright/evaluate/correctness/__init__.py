"""Is it right: secret cases, what is compared after each call, and what promotion adds."""
