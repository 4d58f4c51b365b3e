"""What components learn: losses, objectives, updates over several processes."""
