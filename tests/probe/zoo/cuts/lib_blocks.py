"""What `in_other_file.py` imports."""


def smoothed(h):
    mean = h.detach()  # here
    return 0.5 * mean + 0.5 * mean.roll(1, 0)
