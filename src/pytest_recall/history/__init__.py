"""Questions about past runs: pure functions over values, without disk, clock or store."""
