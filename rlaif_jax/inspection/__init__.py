"""What preference training did to a policy: log-ratio tables, and their figures."""
