"""`make bench`: how fast GradSense is, each figure beside what it is measured against, in the same run."""
