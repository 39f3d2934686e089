"""Live rows and predictions beside those that a model was trained on."""
