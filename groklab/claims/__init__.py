"""What papers say, judged by runs."""
