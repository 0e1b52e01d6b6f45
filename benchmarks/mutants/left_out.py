"""The rows of the catalogue that can't be put into existing code by a transformation, and why."""

LEFT_OUT = {
    "GS901": "suppression comments are about GradSense, not about training.",
    "GS902": "suppression comments are about GradSense, not about training.",
}
