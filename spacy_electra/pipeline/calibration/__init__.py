"""What a score is worth: rates of false marks, and calibrated probabilities."""
