"""tui-mia: was this image-caption pair in the training data of this CLIP-like model?"""

__version__ = "0.1.0"
