"""How text models are measured: streaming, and equal to the reference packages."""
