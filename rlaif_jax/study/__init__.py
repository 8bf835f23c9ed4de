"""Arms, stages, claims and the report; and the bandit of the paper's Figure 6."""
