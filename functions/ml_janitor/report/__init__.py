"""What a run's report looks like to its readers. Pure: results in, text out."""
