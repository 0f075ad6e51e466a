"""What a reader gets: small typed answers, the same for an agent's tool call and for `--json`."""
