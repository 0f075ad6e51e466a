"""Making the server known to its clients: where each keeps its configuration, and one entry put in or taken out."""
