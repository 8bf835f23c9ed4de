"""Which tokens each token reads, and the backends that compute it."""
