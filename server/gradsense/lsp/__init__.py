"""The language server: findings, fixes and the probe as the Language Server Protocol has them.

One file per feature. Nothing outside this package knows the protocol, and nothing is imported before the
answer to `initialize` but pygls.
"""
