"""What intervals take from the normal distribution."""

NORMAL_95 = 1.96  # its quantile: 95 % lie within so many standard errors
