"""A program cut into regions: each searched by itself, and put together again."""
