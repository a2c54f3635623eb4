"""What integrated gradients compare a signal with, and the integral on the way to it."""
