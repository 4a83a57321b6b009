"""Integration methods, one to a file: frozen values that state their orders, with the compiled step that keeps them."""
