"""How fast is it: the broker's clock, the baselines, and what no machine can do."""
