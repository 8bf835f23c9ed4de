"""Training: the step, the loop, and what SFT and DPO put around them."""
