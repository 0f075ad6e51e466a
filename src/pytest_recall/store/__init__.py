"""What is kept of every run, and where: the journal, and Chroma behind its worker."""
