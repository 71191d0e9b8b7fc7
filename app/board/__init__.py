"""The mobilisation table: reads, never writes."""
