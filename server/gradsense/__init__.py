"""GradSense: a language server for training mistakes that fail in silence."""
