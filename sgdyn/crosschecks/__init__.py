"""One quantity by every theory that applies."""
