"""What GradSense knows of torch, Lightning and their neighbours, as tables. Sources: PyTorch 2.13, Lightning 2.6.6."""
