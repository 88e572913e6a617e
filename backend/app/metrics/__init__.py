"""What operations cost and how they end: recorded in every process, kept as mergeable sketches, shown to operators."""
