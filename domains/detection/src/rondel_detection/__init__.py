"""Detection for rondel: label exports in, a trained, evaluated and explained detector out."""
