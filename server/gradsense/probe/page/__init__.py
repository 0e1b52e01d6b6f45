"""The report as a page: one HTML document, for a browser by itself or for a panel of the editor."""
