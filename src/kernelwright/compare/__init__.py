"""Comparing strategies: the same searches at the same budget, live or from recorded verdicts."""
