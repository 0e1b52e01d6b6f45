"""GradSense: a language server for training mistakes that fail in silence."""

# Here and not asked of the installation: importing `importlib.metadata` would delay the server's start by a
# tenth, and the copy that comes with the extension has no metadata.
__version__ = "0.1.0"
