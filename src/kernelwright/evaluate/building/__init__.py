"""From a plan to an artifact: side by side, ahead of need, each once, never beside a clock."""
