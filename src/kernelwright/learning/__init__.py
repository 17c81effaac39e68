"""Learning from what was judged: pairs of candidates, lessons drawn from them, and trials."""
