"""`gradsense check` on whole repositories: cores, the cache, the scan of imports, and the time that TorchFix takes."""
